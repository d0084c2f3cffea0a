"""The README.md of a converted folder: a model card for people, with the front matter that the Hugging Face Hub reads.

Everything in it is read from the checkpoint and from the run that it belongs to. What they do not say is called "not
recorded". Paths of this machine are shortened to their last name.
"""

import math
import os
import pathlib
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import yaml

from bort_mx import hub, provenance
from bort_mx.checkpoints.recorded_run import (
    Run,
    chosen_by_agora,
    front_matter_of,
    idle_options,
    is_pretraining,
    json_object,
    losses_of,
    named,
    run_of,
    texts_of,
    title_of,
)
from bort_mx.checkpoints.weights import Weights

UNKNOWN = "not recorded"
NO_LICENSE = "unknown"
"""The Hub's word for a licence that is not known."""
TASKS = {"encoder": ("feature-extraction", "AutoModel", "embed"),
         "mlm": ("fill-mask", "AutoModelForMaskedLM", "fill-mask"),
         "classifier": ("text-classification", "AutoModelForSequenceClassification", "classify")}
"""Head: the Hub's name of the task, the class of transformers, and the task of `bort_mx.pipeline`."""
SETTINGS = ("losses", "distill", "teacher_layer", "every_layer", "init_from_teacher", "epochs", "max_steps", "budget",
            "batch_size", "learning_rate", "schedule", "warmup", "weight_decay", "optimizer", "dropout", "max_length",
            "seq_len", "sequences", "length_warmup", "first_seq_len", "mask_probability", "kd_weight", "temperature",
            "seed", "dtype")
"""Options that are shown, in this order, where a run has them and they count."""
POOLINGS = {"first": "the first token", "mean": "the mean of all tokens",
            "segments": "the means u and v of both texts, as u, v, |u − v|, u·v"}
"""Of `ModelConfig.pooling`."""
MOST_TEXTS = 10
"""Names of text files that are listed."""
LINEAR_CLASSIFIER = ("Its classifier is one linear layer. As this family has a tanh before its last, it is stored as "
                     "tanh(εx)/ε with ε = 2⁻¹⁶, which differs by about the rounding of float32. Run it in float32 "
                     "or bfloat16: half precision (float16) has not the exponents for it.")


AUTO_MODEL = ("transformers' bare `AutoModel` leaves the head out and may add a pooler with random weights; its load "
              "report lists the first as UNEXPECTED, the second as MISSING. Its `last_hidden_state` is right all the "
              "same.")


def model_card(weights: Weights, license_name: Optional[str] = None) -> str:
    """The card's text.

    Args:
        weights: the model, as it was read.
        license_name: the licence to publish it under, by the Hub's identifier (apache-2.0, mit, cc-by-4.0 …). Default:
            that of the source's own card, else unknown.
    """
    source = pathlib.Path(os.path.abspath(weights.source))
    run, stated, title = run_of(source), front_matter_of(source), title_of(source)
    sections = [
        _front_matter(weights, run, stated, title, license_name), f"# {title}", _summary(weights, run, stated),
        "## How to use it", _usage(weights), "## Training data", _data(run, stated), "## Scores", _scores(run),
        "## Latency", _latency(weights, run), "## Training", _training(weights, run), "## Limits",
        _limits(weights, run), "## Licence", _licence(stated, license_name), "## Provenance", _provenance(weights, run)]
    return "\n\n".join(section for section in sections if section) + "\n"


# -- the front matter ----------------------------------------------------------------------------------------------


def _front_matter(weights: Weights, run: Run, stated: Dict[str, Any], title: str, license_name: Optional[str]) -> str:
    record = str(run.config.get("checkpoint"))  # "name: X" of what was no file; else a fingerprint
    base = record[len("name: "):] if record.startswith("name: ") else ""
    values: Dict[str, Any] = {
        "license": NO_LICENSE, **stated, **({"license": license_name} if license_name else {}),
        "library_name": "transformers", "pipeline_tag": TASKS[weights.config.head][0], "tags": ["bort", "bort_mx"]}
    if license_name:
        values = {name: value for name, value in values.items() if name not in ("license_name", "license_link")}
    if weights.config.embedding is not None:
        values.update(library_name="sentence-transformers", pipeline_tag="sentence-similarity")
    if base != "fresh" and hub.is_name(base):
        values["base_model"] = base
    index = _model_index(weights, run, title)
    return "---\n" + yaml.safe_dump({**values, **index}, sort_keys=False, allow_unicode=True) + "---"


def _model_index(weights: Weights, run: Run, title: str) -> Dict[str, Any]:
    """The scores as the Hub reads them; {} without any."""
    task, kind = _task(run), TASKS[weights.config.head][0]
    results = [{"task": {"type": kind}, "dataset": {"type": task, "name": task, "split": split},
                "metrics": [{"type": name, "value": value, "name": name} for name, value in scores]}
               for split, scores in _splits(run) if scores and task]
    return {"model-index": [{"name": title, "results": results}]} if results else {}


def _task(run: Run) -> Optional[str]:
    task = run.results.get("task")
    return named(task).rsplit(".yaml", 1)[0] if isinstance(task, str) and task else None


def _splits(run: Run) -> List[Tuple[str, List[Tuple[str, float]]]]:
    """The Hub's name of a split, with its scores."""
    return [(name, [(metric, value) for metric, value in run.results[split].items()
                    if metric != "loss" and isinstance(value, float) and math.isfinite(value)])
            for split, name in (("dev", "validation"), ("test", "test")) if isinstance(run.results.get(split), dict)]


# -- the sections --------------------------------------------------------------------------------------------------


def _summary(weights: Weights, run: Run, stated: Dict[str, Any]) -> str:
    config = weights.config
    D, A, H, I = config.architecture.as_tuple()
    size = config.architecture.parameters(config.vocab_size, config.num_positions)
    origin = ("It was " + _origin(run)) if run.config else (
        f"It was converted from {named(weights.source)}, whose training is {UNKNOWN} here")
    labels = config.labels or [str(i) for i in range(config.num_labels)]
    head = {"encoder": "It gives a vector for each token, and an embedding of a text.",
            "mlm": "It fills masks in texts.",
            "classifier": "It gives a number for a text." if config.num_labels == 1 else
                          f"It classifies texts. Its outputs are: {', '.join(labels)}."}[config.head]
    return (f"A `{config.family}` model with {D} layers, {A} attention heads, hidden size {H} and intermediate size "
            f"{I}: {size:,} parameters by eq. 13 of arXiv 2010.10499. {head} {origin}. Converted by bort_mx.")


def _origin(run: Run) -> str:
    checkpoint, teacher, init = (run.option(name) for name in ("checkpoint", "teacher", "init"))
    if is_pretraining(run):
        losses = losses_of(run)
        how = "pre-trained by masked language modelling"
        if "replaced" in losses:
            how = "pre-trained by replaced-token detection"
        elif teacher and (set(losses) != {"mlm"} if losses else run.option("kd_weight") != 0):
            how = f"distilled from the teacher {named(teacher)}"
        layers = f"layers of {named(teacher)}" if run.option("init_from_teacher") else "random weights"
        return f"{how}, starting from {named(init) if init else layers}"
    start = UNKNOWN if checkpoint is None else "random weights" if checkpoint == "fresh" else named(checkpoint)
    agora = run.option("agora")
    taught = f", with the answers of the teacher {named(teacher)}" if teacher and run.option("kd_weight") != 0 else ""
    by = f" by Agora, with the teacher {named(run.option('socrates'))}" if agora else taught
    return f"fine-tuned on {_task(run) or UNKNOWN}{by}, starting from {start}"


def _usage(weights: Weights) -> str:
    _, auto, task = TASKS[weights.config.head]
    mask = weights.tokenizer.mask_token if weights.tokenizer is not None else "<mask>"
    call = {"embed": 'embeddings = model(["A text.", "Another text."])  # (2, H) float32',
            "fill-mask": f'model("A {mask} text.")  # [{{"token", "score"}}], best first',
            "classify": 'model("A text.")'}[task]
    if task == "classify":
        call = call if len(weights.config.text_columns) != 2 else 'model(("A text.", "Its pair."))'
        call += '  # {"value"}' if weights.config.num_labels == 1 else '  # {"label", "score", "scores"}'
    without_pooler = ", add_pooling_layer=False" if auto == "AutoModel" and not weights.config.pooler else ""
    blocks = [f"import bort_mx\n\nmodel = bort_mx.pipeline(\"this folder\")\n{call}",
              f"from transformers import {auto}, AutoTokenizer\n\n"
              f"model = {auto}.from_pretrained(\"this folder\"{without_pooler})\n"
              "tokenizer = AutoTokenizer.from_pretrained(\"this folder\")"]
    if weights.config.embedding is not None:
        blocks.append("from sentence_transformers import SentenceTransformer\n\n"
                      "embeddings = SentenceTransformer(\"this folder\").encode([\"A text.\", \"Another text.\"])")
    said = ["With bort_mx:", "With transformers:", "With sentence-transformers:"]
    parts = [f"{text}\n\n```python\n{block}\n```" for text, block in zip(said, blocks)]
    return "\n\n".join([*parts, *([AUTO_MODEL] if auto != "AutoModel" else [])])


def _data(run: Run, stated: Dict[str, Any]) -> str:
    rows = []
    if _task(run):
        more = run.results.get("unlabelled_examples")
        rows.append(("Task", f"{_task(run)}, {run.results.get('train_examples', UNKNOWN)} training examples"
                     + (f", {more} texts without labels" if more else "")))
    texts = texts_of(run)
    if texts:
        rows.append(("Text", ", ".join(texts[:MOST_TEXTS]) + (f" and {len(texts) - MOST_TEXTS} more" if len(
            texts) > MOST_TEXTS else "")))
    if "datasets" in stated:
        rows.append(("Data sets, by the source's card", ", ".join(_listed(stated["datasets"]))))
    hashes = run.config.get("data")
    for name, digest in hashes.items() if isinstance(hashes, dict) else ():
        if isinstance(digest, str):
            rows.append((f"SHA-256 of {name.replace('_sha256', '').replace('_', ' ')}", f"`{digest}`"))
    return _table(("", ""), rows) if rows else f"The training data are {UNKNOWN}."


def _scores(run: Run) -> str:
    parts = []
    constant = _constant_scores(run)
    rows = [(split, metric, f"{value:.4f}", constant.get((split, metric), ""))
            for split, scores in _splits(run) for metric, value in scores]
    columns = 4 if constant else 3
    if rows:
        seed = chosen_by_agora(run).get("seed", run.results.get("seed", UNKNOWN))
        parts += [_table(("split", "metric", "score", "one label for all")[:columns], [row[:columns] for row in rows]),
                  f"Seed {seed}. The epoch was chosen by its score on the validation set, which is therefore somewhat "
                  "too good; the test set was not used for choosing."]
    rows = [(metric, f"{np.median(values):.4f}", f"{min(values):.4f} to {max(values):.4f}", ", ".join(
        f"{value:.4f}" for value in values)) for metric, values in _over_seeds(run)]
    if rows:
        seeds = ", ".join(map(str, run.seeds.get("seeds", [])))
        parts += [f"Over the seeds {seeds} (this model is that of seed {run.seeds.get('best_seed')}, the best on the "
                  "validation set):", _table(("validation", "median", "range", "each seed"), rows)]
    accuracy = run.results.get("validation_mlm_accuracy")
    if isinstance(accuracy, float):
        parts.append(f"Accuracy at masked positions of the validation text: {accuracy:.4f} (seed "
                     f"{run.option('seed')}).")
    return "\n\n".join(parts) or f"Scores are {UNKNOWN}."


def _constant_scores(run: Run) -> Dict[Tuple[str, str], str]:
    """(Hub's name of a split, metric) → what one label for all examples scores; where it is known."""
    found = run.results.get("one_label_for_all")
    return {(name, metric): f"{value:.4f}" for split, name in (("dev", "validation"), ("test", "test"))
            if isinstance(found, dict) and isinstance(found.get(split), dict)
            for metric, value in found[split].items() if isinstance(value, float)}


def _over_seeds(run: Run) -> List[Tuple[str, List[float]]]:
    over = run.seeds.get("dev_over_seeds")
    return [(metric, spread["values"]) for metric, spread in (over.items() if isinstance(over, dict) else ())
            if metric != "loss" and isinstance(spread, dict) and spread.get("values")]


def _latency(weights: Weights, run: Run) -> str:
    """Of the search that found the architecture, where its results are still at hand."""
    path = run.option("architecture")
    found = json_object(pathlib.Path(path)) if isinstance(path, str) and path.endswith(".json") else {}
    best = found.get("best")
    if not isinstance(best, dict) or best.get("architecture") != list(weights.config.architecture.as_tuple()) or (
            found.get("latency_unit") != "s" or not isinstance(best.get("latency"), float)):
        return f"Latency is {UNKNOWN}."
    return (f"{best['latency'] * 1000:.3g} ms for a sample, as the search that found this architecture measured it on "
            "its machine.")


def _training(weights: Weights, run: Run) -> str:
    idle, chosen = idle_options(run, weights.config), chosen_by_agora(run)
    values = {name: chosen.get(name, run.option(name)) for name in SETTINGS if name not in idle}
    if run.config.get("sequences") == "single":  # by default, with some losses
        values["sequences"] = "single"
    rows = [(name.replace("_", " "), " ".join(_listed(value))) for name, value in values.items() if value is not None]
    rows += [("classifier reads", POOLINGS[weights.config.pooling])] if weights.config.head == "classifier" else []
    step = run.progress.get("step", run.results.get("best_step"))
    rows += [("step of this checkpoint", str(step))] if step is not None else []
    return _table(("setting", "value"), rows) if rows else f"How it was trained is {UNKNOWN}."


def _limits(weights: Weights, run: Run) -> str:
    config = weights.config
    notes = run.results.get("notes")
    points = [f"A text has at most {config.longest} tokens; longer ones are cut.",
              f"Languages and domains that it is for: {UNKNOWN}. It knows what its training data hold.",
              f"Bias and unwanted content were not examined, or the examination is {UNKNOWN}.",
              *(["It was trained on pairs of texts (" + ", ".join(config.text_columns) + ")."]
                if len(config.text_columns) == 2 else []),
              *([LINEAR_CLASSIFIER] if config.head == "classifier" and not config.pooler else []),
              *(str(note)[:1].upper() + str(note)[1:] + "." for note in (notes if isinstance(notes, list) else ()))]
    return "\n".join(f"- {point}" for point in points)


def _licence(stated: Dict[str, Any], license_name: Optional[str]) -> str:
    if license_name:
        return f"{license_name}, as whoever converted the model stated."
    if "license" in stated:
        return f"{stated['license']}, by the card of the model that this one was converted from."
    return (f"The licence is {UNKNOWN}. Before you publish the model, find out what its training data and the model it "
            "started from allow, and set `license` at the head of this file.")


def _provenance(weights: Weights, run: Run) -> str:
    trained, now = run.config.get("provenance"), provenance.provenance()
    digest = "" if weights.tokenizer is None else f", SHA-256 `{weights.tokenizer.digest}`"
    rows = [("converted by", _versions(now)), ("converted from", named(weights.source)),
            ("trained by", _versions(trained) if isinstance(trained, dict) else UNKNOWN),
            ("vocabulary", f"{weights.config.vocab_size:,} tokens{digest}")]
    return (_table(("", ""), rows) + "\n\nThe paper behind bort_mx is "
            "[arXiv 2010.10499](https://arxiv.org/abs/2010.10499).")


def _versions(values: Mapping[str, Any]) -> str:
    packages = values.get("packages")
    said = [f"bort_mx {values.get('bort_mx', UNKNOWN)}", f"git commit {values.get('git_commit') or UNKNOWN}",
            f"Python {values.get('python', UNKNOWN)}"]
    return ", ".join(said + [f"{name} {version}" for name, version in (packages or {}).items()
                             if version and name in ("mxnet", "numpy")])


def _listed(value: Any) -> List[str]:
    return [str(part) for part in value] if isinstance(value, list) else [str(value)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
                     for line in lines)
