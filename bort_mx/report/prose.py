"""Numbers of the paper's prose that follow from its tables, from the official data's sizes, or from its formulas."""

import functools
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from bort_mx.architecture import Architecture
from bort_mx.data.tasks.tables import load_table
from bort_mx.report.findings import FAILS, HOLDS, MEASURED, Finding, judge
from bort_mx.report.published import Published
from bort_mx.report.sizes import text_finding
from bort_mx.search.space import PAPER_SPACE, admit, read_space

RACE_PASSAGES = {"RACE-H": 18728 + 1021 + 1045, "RACE-M": 6409 + 368 + 362}
"""Files of the official archive, train, dev and test."""
GELU_CONSTANT = 0.044715
"""Hendrycks & Gimpel's constant."""


def text_claims(paper: Published) -> List[Finding]:
    """All of them, in the order of the paper."""
    return [*_space(paper), *_equations(paper), *_benchmark_sizes(paper), *_gains(paper), *_rankings(paper),
            *_race(paper)]


def _line(paper: Published, row: str, ours: Any, formula: str, note: str = "",
          readings: Sequence[Tuple[Any, str]] = (), shown: Optional[str] = None, relative: float = 0.0) -> Finding:
    verdict, reading = judge(paper("text", row), ours, readings, relative)
    text = shown or (f"{ours:.4g}" if isinstance(ours, float) else str(ours))
    return text_finding(paper, row, text, formula, verdict, reading or note)


# -- the search and the appendices -----------------------------------------------------------------------------------


def _space(paper: Published) -> List[Finding]:
    space = admit(read_space(PAPER_SPACE))
    compressed = [row for row in paper.rows("2") if row not in ("BERT-base", "BERT-large", "RoBERTa-large")]
    depths = [paper("2", row, "D") for row in compressed]
    usual = max(set(depths), key=depths.count)
    others = len(depths) - depths.count(usual)
    verdict = HOLDS if others == 1 and usual == paper("text", "depth of all compressed models but one") else FAILS
    return [_line(paper, "valid architectures of the space", len(space.architectures),
                  f"{space.raw} products, less those in which A does not divide H"),
            text_finding(paper, "depth of all compressed models but one", f"{usual}, but for {others}",
                         "Table 2's compressed models", verdict, "BERT-of-Theseus has 6")]


def _equations(paper: Published) -> List[Finding]:
    bort = paper.architecture("2", "Bort")
    dense, depth = _dense_layers(bort), bort.num_layers
    each = (dense - 1) // depth
    printed = paper("text", "constant k of GELU")
    off, right = gelu_error(printed), gelu_error(GELU_CONSTANT)
    degree = _degree_in_h(bort)
    return [
        text_finding(paper, "dense layers in a model of depth D", f"{each}D+1",
                     f"{dense} dense layers in the built Gluon model of Bort, D = {depth}",
                     HOLDS if paper("text", "dense layers in a model of depth D") == f"{each}D+1" else FAILS,
                     "eq. 5 to 7 have six a layer: query, key, value, the attention's output, and two of the "
                     "feed-forward part; with two layer normalisations, softmax and GELU there are ten operations a "
                     "layer"),
        _line(paper, "degree of p of two layers in H", degree,
              "the power by which two layers of eq. 13 grow from H = 2^20 to 2^21", "eq. 13 is quadratic in H"),
        _line(paper, "constant k of GELU", GELU_CONSTANT, "the k of Hendrycks & Gimpel, whom eq. 11 cites",
              f"largest error against the exact GELU: {off:.3f} with the printed k, {right:.4f} with theirs; a digit "
              "was lost. RoBERTa's weights use the exact form, and so does this program"),
        _bias(paper)]


def _bias(paper: Published) -> Finding:
    """Eq. 10: parameters of a linear layer with W of m × n are mn + n as printed, mn + m as built."""
    from mxnet.gluon import nn

    m, n = paper("2", "Bort", "I"), paper("2", "Bort", "H")
    built = sum(math.prod(p.shape) for p in nn.Dense(m, in_units=n).collect_params().values())
    printed = m * n + n
    return Finding("text", f"parameters of a layer W of {m} × {n}", "App. A, eq. 10", printed, f"{built:,}",
                   f"{MEASURED}: a Dense layer of Gluon", HOLDS if built == printed else FAILS,
                   "f(x) = Wx + b with W of m × n has a bias of m numbers, not n: mn + m")


@functools.cache
def _dense_layers(architecture: Architecture) -> int:
    """Dense layers of encoder and pooler in the built model, each counted by its matrix."""
    from bort_mx.models.bert import BERT, parameters_of  # loads MXNet
    from bort_mx.models.config import ModelConfig

    names = parameters_of(BERT(ModelConfig(architecture, 8, "classifier", num_positions=8, pooler=True)))
    return sum(name.endswith(".weight") and not name.startswith(("word_embed", "classifier", "token_type"))
               for name in names)


def _degree_in_h(architecture: Architecture) -> int:
    """The power of H by which two layers of eq. 13 grow, seen where H is large."""
    D, A, _, I = architecture.as_tuple()
    small, large = (Architecture(2, A, size, I).encoder_parameters() for size in (2 ** 20, 2 ** 21))
    return round(math.log2(large / small))


def gelu_error(k: float) -> float:
    """Largest difference between eq. 11 with constant k and the exact GELU, for x from −6 to 6."""
    x = np.linspace(-6, 6, 4801)
    exact = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return float(np.abs(x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + k * x ** 3))) - exact).max())


# -- the benchmarks ---------------------------------------------------------------------------------------------------


def _benchmark_sizes(paper: Published) -> List[Finding]:
    glue, superglue = len(paper.rows("4")), len(paper.rows("5"))
    return [_line(paper, "data sets of GLUE", glue, "rows of Table 4", readings=[
                (glue - 1, "MNLI's two test sets count as one")]),
            _line(paper, "data sets of SuperGLUE", superglue, "rows of Table 5")]


def scores(paper: Published, table: str, task: str, system: str) -> List[float]:
    """The printed scores of a system on a task: one, or two."""
    return [float(part) for part in str(paper(table, task, system)).split("/")]


def leads(paper: Published, table: str, over: str) -> Dict[str, List[float]]:
    """Bort's score less another system's, for each task and metric."""
    return {task: [a - b for a, b in zip(scores(paper, table, task, "Bort"), scores(paper, table, task, over))]
            for task in paper.rows(table)}


def _gains(paper: Published) -> List[Finding]:
    gains = [(round(lead, 1), task) for table in ("4", "5")
             for task, values in leads(paper, table, "BERT-large").items() for lead in values if lead > 0]
    least, largest = min(gains), max(gains)
    return [_line(paper, "GLUE and SuperGLUE, least gain over BERT-large", least[0],
                  "the differences above 0 in Tables 4 and 5", f"it is that of {least[1]}"),
            _line(paper, "GLUE and SuperGLUE, largest gain over BERT-large", largest[0],
                  "the differences in Tables 4 and 5", f"it is that of {largest[1]}, exact matches")]


def _rankings(paper: Published) -> List[Finding]:
    glue, superglue = leads(paper, "4", "BERT-large"), leads(paper, "5", "BERT-large")
    behind = ", ".join(sorted(task for task, values in superglue.items() if min(values) < 0))
    strongest = _in_order(leads(paper, "4", "RoBERTa-large"))
    by_bert = _in_order(glue)
    found = [_line(paper, "GLUE tasks in which Bort is not ahead of BERT-large",
                   ", ".join(sorted(task for task, values in glue.items() if min(values) <= 0)),
                   "the differences in Table 4"),
             _line(paper, "SuperGLUE tasks in which Bort is behind BERT-large", behind, "the differences in Table 5",
                   "AX-g's gender parity lies below too: "
                   + " and ".join(str(scores(paper, "5", "AX-g", name)[0]) for name in ("Bort", "BERT-large")))]
    for place, row in enumerate(("GLUE task with the strongest result", "GLUE task with the second-strongest result")):
        found.append(_line(paper, row, by_bert[place], "the largest differences to BERT-large", readings=[
            (strongest[place], "beside RoBERTa-large, by the larger of a task's two metrics")]))
    return found


def _in_order(differences: Dict[str, List[float]]) -> List[str]:
    return sorted(differences, key=lambda task: -max(differences[task]))


def _race(paper: Published) -> List[Finding]:
    gains = {task: round(values[0], 1) for task, values in leads(paper, "6", "BERT-large").items()}
    questions = load_table("counts.yaml")["race"]
    pairs = {task: 4 * sum(questions[task]) / RACE_PASSAGES[task] for task in RACE_PASSAGES}
    all_pairs = sum(4 * sum(questions[task]) for task in RACE_PASSAGES) / sum(RACE_PASSAGES.values())
    archive = "train, dev and test of the official archive"
    shown = ", ".join(f"{task} {gain}" for task, gain in gains.items())
    row = "RACE, question-answer pairs of a passage"
    least, largest = "RACE, least gain over BERT-large", "RACE, largest gain over BERT-large"
    return [
        _line(paper, least, gains["RACE-M"], "Table 6", shown=shown),
        _line(paper, largest, gains["RACE-H"], "Table 6", "RACE-H gains more than the prose says", shown=shown),
        _line(paper, "RACE, wrong answers to a right one", 4 - 1, "four answers a question, one of them right"),
        _line(paper, "RACE, share of wrong answers discarded", f"{3 - 1}/3", "what balances 3 to 1"),
        *(_line(paper, f"{task}, passages", count, archive,
                f"all 27,933 files; the paper has {paper('text', f'{task}, passages') - count:+} passages",
                shown=f"{count:,}") for task, count in RACE_PASSAGES.items()),
        _line(paper, row, all_pairs, f"four answers to each question, {archive}", readings=[
            (pairs["RACE-M"], f"RACE-M alone has {pairs['RACE-M']:.1f}; RACE-H has {pairs['RACE-H']:.1f}")])]
