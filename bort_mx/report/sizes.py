"""Numbers of parameters: eq. 13, and a count of the Gluon model that is built; Tables 1 and 2, and shares of the text.

D: layers. A: attention heads. H: hidden size. I: intermediate size. V: vocabulary size. S: rows of the position table.
"""

import functools
import math
from typing import Dict, List, Tuple

from bort_mx.architecture import ROBERTA_POSITIONS, ROBERTA_VOCABULARY, Architecture
from bort_mx.report.findings import FORMULA, MEASURED, ROUNDED, Finding, Reading, judge
from bort_mx.report.published import Published

BERT_VOCABULARY, BERT_CASED_VOCABULARY, BERT_POSITIONS = 30522, 28996, 512
ROBERTA_LIKE = ("A1 (Bort)", "A2", "A3", "Bort", "RoBERTa-large")
"""Rows whose models have RoBERTa's vocabulary and positions; the others have uncased BERT's."""
OWN = ("A1 (Bort)", "A2", "A3", "Bort")
"""Rows whose sizes the paper itself computed; those of the others are rounded by their authors."""
PARAMETERS = "parameters (M)"
SWAPPED = "H and I swapped in eq. 13, plus one H·I matrix"


def table_sizes(paper: Published, table: str) -> List[Finding]:
    """The column of parameters in Table 1 or 2: by eq. 13, and counted from the built model."""
    found = []
    for row in paper.rows(table):
        architecture, printed = paper.architecture(table, row), paper(table, row, PARAMETERS)
        V, S = vocabulary_of(row)
        relative = 0.0 if row in OWN else ROUNDED
        for column, ours, how in ((PARAMETERS, architecture.parameters(V, S), f"{FORMULA}: eq. 13, V = {V:,}"),
                                  (f"{PARAMETERS}, counted", counted(architecture, V, S),
                                   f"{MEASURED}: weights of the built Gluon model")):
            verdict, reading = judge(printed, ours / 1e6, _readings(row, architecture), relative)
            found.append(Finding(table, row, column, printed, f"{ours / 1e6:.2f}", how, verdict,
                                 reading or _explanation(row)))
    return found


def vocabulary_of(row: str) -> Tuple[int, int]:
    """V and S of a row's model."""
    return (ROBERTA_VOCABULARY, ROBERTA_POSITIONS) if row in ROBERTA_LIKE else (BERT_VOCABULARY, BERT_POSITIONS)


def _readings(row: str, architecture: Architecture) -> List[Reading]:
    if row in OWN:
        return [(swapped_size(architecture) / 1e6,
                 f"{SWAPPED}: {swapped_size(architecture) / 1e6:.2f} M. The released weights have the printed widths")]
    if row == "BERT-Mini":
        mini = Architecture(*architecture.as_tuple()[:3], 1024)
        V, S = vocabulary_of(row)
        return [(mini.parameters(V, S) / 1e6,
                 f"with I = 1,024, which the released BERT-Mini has: {mini.parameters(V, S) / 1e6:.2f} M. The table "
                 f"prints I = {architecture.intermediate_size:,}")]
    return []


def _explanation(row: str) -> str:
    return "" if row in OWN else f"its authors' rounded figure; it holds within {ROUNDED:.0%}"


def swapped_size(architecture: Architecture) -> int:
    """Eq. 13 with H and I swapped, plus one H·I matrix: what the paper prints for its own architectures."""
    D, A, H, I = architecture.as_tuple()
    return Architecture(D, A, I, H).parameters() + H * I


@functools.cache
def counted(architecture: Architecture, vocab_size: int, num_positions: int) -> int:
    """Number of weights of embedding, encoder and pooler in the Gluon model. It is built without memory for them."""
    from bort_mx.models.bert import BERT, parameters_of  # loads MXNet
    from bort_mx.models.config import ModelConfig

    family = "roberta" if vocab_size == ROBERTA_VOCABULARY else "bert"
    model = BERT(ModelConfig(architecture, vocab_size, "classifier", family=family, num_positions=num_positions,
                             pooler=True))
    return sum(math.prod(p.shape) for name, p in parameters_of(model).items() if not name.startswith("classifier"))


def embedding_size(vocab_size: int, num_positions: int, hidden_size: int) -> int:
    """Parameters of the embedding layer as §3.4 states them: VH + SH + 3H."""
    return (vocab_size + num_positions + 3) * hidden_size


def text_sizes(paper: Published) -> List[Finding]:
    """The sizes and shares in the prose."""
    bort, large = (paper.architecture("2", name) for name in ("Bort", "BERT-large"))
    return [*_embeddings(paper, bort, large), *_shares(paper, bort, large), *_counts_of_eq_13(bort)]


def _embeddings(paper: Published, bort: Architecture, large: Architecture) -> List[Finding]:
    found = []
    plain = {"RoBERTa-large": (ROBERTA_VOCABULARY, ROBERTA_POSITIONS, large.hidden_size),
             "BERT-large": (paper("text", "vocabulary of BERT"), BERT_POSITIONS, large.hidden_size),
             "Bort": (ROBERTA_VOCABULARY, ROBERTA_POSITIONS, bort.hidden_size)}
    other: Dict[str, Reading] = {
        "BERT-large": (embedding_size(BERT_VOCABULARY, BERT_POSITIONS, large.hidden_size) / 1e6,
                       f"with the uncased vocabulary, V = {BERT_VOCABULARY:,}; footnote 4 says that the paper means "
                       "the cased one"),
        "Bort": (embedding_size(ROBERTA_VOCABULARY, ROBERTA_POSITIONS, bort.intermediate_size) / 1e6,
                 f"with H and I swapped, H = {bort.intermediate_size}")}
    for name, (V, S, H) in plain.items():
        row = f"embedding of {name} (M)"
        ours, readings = embedding_size(V, S, H) / 1e6, [other[name]] if name in other else []
        verdict, note = judge(paper("text", row), ours, readings)
        found.append(text_finding(paper, row, f"{ours:.1f}", f"VH + SH + 3H, V = {V:,}, S = {S}, H = {H:,}", verdict,
                                  note))
    verdict, note = judge(paper("text", "vocabulary of BERT"), BERT_CASED_VOCABULARY)
    return [*found, text_finding(paper, "vocabulary of BERT", f"{BERT_CASED_VOCABULARY:,}",
                                 "the cased vocabulary; the uncased one has 30,522", verdict, note)]


def _shares(paper: Published, bort: Architecture, large: Architecture) -> List[Finding]:
    found = []
    for name in ("BERT-large", "RoBERTa-large"):
        row = f"encoder of {name}, %"
        ours = 100 * bort.encoder_parameters() / large.encoder_parameters()
        printed = 100 * _without_embedding(paper, "Bort") / _without_embedding(paper, name)
        verdict, note = judge(paper("text", row), ours, [(printed, (
            "printed size less printed embedding, of both: "
            f"{_without_embedding(paper, 'Bort'):.1f} M of {_without_embedding(paper, name):.1f} M. So the widths are "
            "swapped, and the pooler counts as encoder"))])
        found.append(text_finding(paper, row, f"{ours:.1f}", "the D encoder layers of eq. 13", verdict, note))
    net = 100 * bort.parameters() / large.parameters(BERT_VOCABULARY, BERT_POSITIONS)
    printed = 100 * paper("2", "Bort", PARAMETERS) / paper("2", "BERT-large", PARAMETERS)
    verdict, note = judge(paper("text", "net size of BERT-large, %"), net, [
        (math.floor(printed), f"the printed sizes, 56.1 M with swapped widths of 340 M: {printed:.1f} %, cut off "
         "rather than rounded")])
    return [*found, text_finding(paper, "net size of BERT-large, %", f"{net:.1f}", "eq. 13 of both", verdict, note)]


def _without_embedding(paper: Published, name: str) -> float:
    return paper("2", name, PARAMETERS) - paper("text", f"embedding of {name} (M)")


def _counts_of_eq_13(bort: Architecture) -> List[Finding]:
    """Eq. 13 beside a count of its own layers: it has 3H more."""
    V, S = ROBERTA_VOCABULARY, ROBERTA_POSITIONS
    formula, built = bort.parameters(V, S), counted(bort, V, S)
    verdict, _ = judge(formula, built)
    return [Finding("text", "eq. 13 for Bort, weights", "value", formula, f"{built:,}",
                    f"{MEASURED}: weights of the built Gluon model", verdict,
                    f"eq. 13 has {(formula - built) / bort.hidden_size:.0f}H more than its layers: (V + S + 6)H, where "
                    "word and position tables, one LayerNorm and the pooler's bias are (V + S + 3)H")]


def text_finding(paper: Published, row: str, ours: str, formula: str, verdict: str, note: str = "") -> Finding:
    """A line on a number of the prose that was computed."""
    place = paper("text", row, "place")
    return Finding("text", row, place, paper("text", row), ours, f"{FORMULA}: {formula}", verdict, note)
