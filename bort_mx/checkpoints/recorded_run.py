"""What is recorded of the run that a checkpoint belongs to, for its model card."""

import os
import pathlib
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Set

import yaml

from bort_mx import hub
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.data.shards import MANIFEST
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models.config import ModelConfig

FROM_SOURCE = ("license", "license_name", "license_link", "language", "datasets", "base_model")
"""Fields that are taken from the front matter of a converted folder's own card."""


class Run(NamedTuple):
    """What is recorded of the run that a checkpoint belongs to; empty where nothing is."""

    config: Mapping[str, Any] = {}
    """config.json."""
    results: Mapping[str, Any] = {}
    """results.json."""
    seeds: Mapping[str, Any] = {}
    """results.json of the runs with several seeds, of which this is one."""
    progress: Mapping[str, Any] = {}
    """progress.json of the checkpoint."""

    def option(self, name: str) -> Any:
        """An option of the run, or None."""
        options = self.config.get("options")
        return options.get(name) if isinstance(options, dict) else None


def title_of(source: pathlib.Path) -> str:
    """The name of the run that a checkpoint belongs to, else its own."""
    return source.parent.parent.name if source.parent.name == checkpoint_directory.CHECKPOINTS else source.name


def run_of(source: pathlib.Path) -> Run:
    """What the run that wrote a checkpoint of ours says of itself. Of other checkpoints nothing is known."""
    if not checkpoint_directory.is_checkpoint(source):
        return Run()
    progress = json_object(source / checkpoint_directory.PROGRESS)
    # Elsewhere, what lies two folders up belongs to something else.
    if source.parent.name != checkpoint_directory.CHECKPOINTS:
        return Run(progress=progress)
    run = source.parent.parent
    seeds = json_object(run.parent / checkpoint_directory.RESULTS) if re.fullmatch(r"seed-\d+", run.name) else {}
    return Run(json_object(run / checkpoint_directory.CONFIG), json_object(run / checkpoint_directory.RESULTS),
               seeds if "dev_over_seeds" in seeds else {}, progress)


def json_object(path: pathlib.Path) -> Dict[str, Any]:
    """The object of a JSON file; {} if there is no such file, or it holds something else."""
    values = files.read_json(path) if path.is_file() else {}
    return values if isinstance(values, dict) else {}


def front_matter_of(source: pathlib.Path) -> Dict[str, Any]:
    """The fields `FROM_SOURCE` of the card in a folder that is converted."""
    card = source / "README.md"
    if checkpoint_directory.is_checkpoint(source) or not card.is_file():
        return {}
    try:
        found = re.match(r"---\r?\n(.*?)\r?\n---", files.read_text(card), re.DOTALL)
        values = yaml.safe_load(found[1]) if found else None
    except (InputError, *files.YAML_ERRORS):  # the card of another program is no reason to refuse its model
        return {}
    return {name: values[name] for name in FROM_SOURCE if name in values} if isinstance(values, dict) else {}


def texts_of(run: Run) -> List[str]:
    """The names of a run's texts: of prepared text those of its corpora, or of the files that it was prepared from.

    The folder of prepared text is looked at only where it is still the one that the run recorded, by its hash.
    """
    found: List[str] = []
    given = run.option("data")
    recorded = run.config.get("data")
    for path in map(str, given if isinstance(given, list) else []):
        manifest = pathlib.Path(path) / MANIFEST
        known = manifest.is_file() and isinstance(recorded, dict) and (
            recorded.get("manifest_sha256") == files.sha256(manifest))
        values = json_object(manifest) if known else {}
        corpora, inputs = values.get("corpora"), values.get("inputs")
        if isinstance(corpora, dict) and corpora:
            found += corpora
        elif isinstance(inputs, list) and inputs:
            found += [named(entry["path"]) for entry in inputs]
        else:
            found.append(named(path))
    return found


def losses_of(run: Run) -> List[str]:
    """The names of a pre-training's losses; none for masked language modelling and the paper's distillation."""
    given, distill = run.option("losses"), run.option("distill")
    if isinstance(given, list):
        return [str(entry).partition("=")[0] for entry in given]
    return [distill] if isinstance(distill, str) and distill != "mlm" else []


def is_pretraining(run: Run) -> bool:
    """Whether it is a run of `pretrain`."""
    options = run.config.get("options")
    return isinstance(options, dict) and "max_steps" in options


def chosen_by_agora(run: Run) -> Mapping[str, Any]:
    """The hyperparameters that Agora chose, which count in place of the options; {} of other runs."""
    agora = run.results.get("agora")
    found = agora.get("chs") if isinstance(agora, dict) else None
    return found if isinstance(found, dict) else {}


def idle_options(run: Run, config: ModelConfig) -> Set[str]:
    """Options with a value that a run did not use; `config` is its model's."""
    losses, taught = losses_of(run), bool(run.option("teacher")) and run.option("kd_weight") != 0
    if not is_pretraining(run):
        if not taught and not (run.option("agora") and run.option("soft_labels")):
            return {"kd_weight", "temperature"}
        return {"temperature"} if config.num_labels == 1 else set()
    masked = not losses or any(name in losses for name in ("mlm", "kd", "replaced"))
    of_paper, warms = bool(run.option("teacher")) and not losses, bool(run.option("length_warmup"))
    used = {"max_steps": run.option("budget") is None, "mask_probability": masked, "kd_weight": of_paper,
            "temperature": of_paper and taught or "kd" in losses,
            "distill": run.option("distill") in losses and run.option("losses") is None,
            "every_layer": bool(run.option("every_layer")), "length_warmup": warms, "first_seq_len": warms}
    return {name for name, does in used.items() if not does}


def named(path: Any) -> str:
    """A checkpoint or file without this machine's folders; a name on the Hub as it is."""
    path = str(path)
    return path if not os.path.exists(path) and hub.is_name(path) else pathlib.PurePath(path).name or path
