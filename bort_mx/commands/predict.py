"""`bort-mx predict`: fill masks, classify or embed with a checkpoint of any format, or an ONNX file.

B batch, M masked positions, V vocabulary size, H hidden size.
"""

import dataclasses
import json
import logging
import os
import pathlib
import sys
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from bort_mx.commands.answer_tally import Tally
from bort_mx.commands.last_lines import say_first, say_last
from bort_mx.data.input_texts import open_lines, read_texts
from bort_mx.data.table_records import is_table
from bort_mx.data.tasks import Task, get_task
from bort_mx.errors import InputError
from bort_mx.inference import fill_mask, pipeline, text_pipelines
from bort_mx.inference.task_outputs import fit
from bort_mx.io import files
from bort_mx.io.array_file import new_array
from bort_mx.io.output import writing
from bort_mx.options import at_least, one_of, parse_options
from bort_mx.progress import Progress

logger = logging.getLogger(__name__)
DESCRIPTION = "Fill the masks of texts, classify the lines of a file, or embed them."


@dataclasses.dataclass
class PredictOptions:
    """Options of `bort-mx predict`."""

    checkpoint: str
    """A checkpoint of any format, the output folder of a run (its newest checkpoint, or the best epoch of fine-tuning),
    or an exported .onnx file."""

    fill_mask: Optional[List[str]] = None
    """Texts whose masks to fill. Write a mask as <mask> or [MASK]."""

    input: Optional[str] = None
    """File with texts whose masks to fill: one text per line, or a table as in --classify; - is standard input."""

    classify: Optional[str] = None
    """File to classify; - is standard input. A .tsv, .csv, .jsonl or .json file is a table. In other files, each line
    is one text, or two with a tab between. Answers are JSON lines in the same order: label, score (its probability) and
    scores (those of all labels)."""

    text_column: Optional[str] = None
    """Column of a table that holds the texts. Default: as in the task that the checkpoint was trained on."""

    text_pair_column: Optional[str] = None
    """Column of a table that holds the second texts of pairs. Default: as in the task."""

    task: Optional[str] = None
    """Task that the classifier was trained on, e.g. RTE; its labels' names are used in the answers. Default: the names
    in the checkpoint, or numbers if it has none."""

    embed: Optional[str] = None
    """File to embed, in the form of --classify; - is standard input. The embeddings go to --output as one .npy array
    (lines, hidden size)."""

    pooling: Optional[str] = None
    """How hidden states become an embedding. mean: their mean over all tokens. first: the first token's. Default: as
    the checkpoint says (the pooling, dense layers, normalization and longest text of sentence-transformers), else
    mean."""

    output: Optional[str] = None
    """File to write: JSON lines, or the array of --embed. Default: JSON lines on standard output; answers to
    --fill-mask as a table."""

    top_k: Optional[int] = None
    """Number of words to show for each mask. Default: 5."""

    batch_size: Optional[int] = None
    """Number of texts in one forward pass. Default: 16, and more short ones."""

    def __post_init__(self):
        if not (self.fill_mask or self.input or self.classify or self.embed):
            raise InputError("nothing to predict: give --fill-mask \"The <mask> of the function\", --input FILE, "
                             "--classify FILE or --embed FILE")
        if bool(self.fill_mask or self.input) + bool(self.classify) + bool(self.embed) > 1:
            raise InputError("--fill-mask and --input, --classify, and --embed need different models; give one")
        if self.task is not None and not self.classify:
            raise InputError("--task names the labels of --classify; give both, or neither")
        if self.text_pair_column is not None and self.text_column is None:
            raise InputError("--text-pair-column is for the second text; give --text-column for the first as well")
        if self.text_pair_column is not None and self.text_pair_column == self.text_column:
            raise InputError(f"--text-pair-column {self.text_pair_column} is the column of --text-column; give two")
        if self.text_column is not None and not (self.input or self.classify or self.embed):
            raise InputError("--text-column names a column of --classify, --embed or --input FILE; give one")
        one_of(self, pipeline.POOLINGS, "pooling")
        at_least(self, 1, "top_k", "batch_size")
        if self.pooling is not None and not self.embed:
            raise InputError(f"--pooling {self.pooling} is for --embed; leave it out")
        if self.top_k is not None and not (self.fill_mask or self.input):
            raise InputError(f"--top-k {self.top_k} is for --fill-mask and --input; leave it out")
        if self.embed and not str(self.output).endswith(".npy"):
            raise InputError("--embed writes an array: give --output FILE.npy")


def main(argv: List[str]) -> int:
    """Parse, load, predict."""
    options = parse_options(PredictOptions, argv, "bort-mx predict", DESCRIPTION)
    columns = [name for name in (options.text_column, options.text_pair_column) if name is not None]
    if options.output is None and getattr(sys.stdout, "name", None) == os.devnull:  # `bort_mx.cli` opened it
        raise InputError("standard output is closed, and the answers go there; give --output FILE")
    if options.output is not None:
        _refuse_to_replace(options.output, options.checkpoint, {
            f"--{name}": getattr(options, name) for name in ("input", "classify", "embed")})
    say_first(f"opening {options.checkpoint}", aside=options.output is None)
    if options.classify is not None:
        _classify_file(options.checkpoint, options.classify, columns, options.task, options.output,
                       options.batch_size)
    elif options.embed is not None:
        _embed_file(options.checkpoint, options.embed, columns, options.pooling, options.output, options.batch_size)
    else:
        _fill_masks(options.checkpoint, options.fill_mask or [], options.input, columns, options.output,
                    options.top_k or 5, options.batch_size)
    if options.output is not None:  # standard output is for answers alone
        say_last(options.output, *_following(options.checkpoint, options.embed is not None))
    return 0


def _following(checkpoint: str, embeds: bool) -> List[str]:
    """The next command: the export of what was run, which may be a classifier's encoder; or serving such a file."""
    if checkpoint.endswith(".onnx"):
        return ["serve", checkpoint]
    return ["export", checkpoint, "model.onnx", *(["--head", "encoder"] if embeds else []), "--int8"]


def _refuse_to_replace(output: str, checkpoint: str, texts: Mapping[str, Optional[str]]) -> None:
    """Raises InputError if the answers would be written over a file of texts (by its option) or of the checkpoint."""
    place, model = pathlib.Path(output).resolve(), pathlib.Path(checkpoint).resolve()
    if not place.is_file():
        return
    for option, path in texts.items():
        if path is not None and pathlib.Path(path).resolve() == place:
            raise InputError(f"--output {output} is the file of {option}, which would be lost; choose another")
    if place == model or model in place.parents and not _is_an_answer(place):
        raise InputError(f"--output {output} is a file of the checkpoint, which would be lost; choose another")


def _is_an_answer(path: pathlib.Path) -> bool:
    """Whether a file begins as those that this command writes."""
    with open(path, "rb") as file:
        return file.read(9).startswith((b'{"text": ', b"\x93NUMPY"))


def _fill_masks(checkpoint: str, given: List[str], path: Optional[str], columns: Sequence[str],
                output: Optional[str], top_k: int, batch_size: Optional[int]) -> None:
    """Fill the masks of texts given on the command line and of a file's lines.

    Texts of the command line are answered in a table; those of a file, and with an output all, in JSON lines.
    """
    lines = [] if path is None else _texts_with_masks(pathlib.Path(path), columns)
    model, tokenizer = pipeline.open_model(checkpoint, "mlm")
    places = [*(("--fill-mask", text) for text in given), *((f"{path}:{number}", line) for number, line in lines)]
    for place, text in places:
        fill_mask.encode(tokenizer, text, model.config.longest, f"{place}: ")  # every error before the first answer
    texts = [line for _, line in lines]
    if output is None:
        for answer in fill_masks(model, tokenizer, given, top_k, batch_size):
            print(table(answer), flush=True)
    else:
        texts = given + texts
    if texts:
        tally = Tally()
        answers = tally.of(fill_masks(model, tokenizer, texts, top_k, batch_size))
        _write_json_lines(output, answers, len(texts), finished=lambda answer: answer["mask"] == 0)
        if output is not None:
            print(tally.line())


def _texts_with_masks(path: pathlib.Path, columns: Sequence[str]) -> List[Tuple[int, str]]:
    """The texts of a file that are not empty, with the numbers of their lines or, in a table, of their records."""
    if is_table(path) or columns:
        return list(enumerate((text for text, _ in read_texts(path, columns)), 1))
    found = [(number, line) for number, line in enumerate(open_lines(path) or [], 1) if line.strip()]
    if not found:
        raise InputError(f"{path}: holds no text; put a text in each line")
    return found


def fill_masks(model: Any, tokenizer: Any, texts: Iterable[str], top_k: int = 5,
               batch_size: Optional[int] = None) -> Iterator[Dict]:
    """As `bort_mx.inference.fill_mask.fill_masks`, with an answer for each mask, as predict writes it.

    Yields:
        {"text", "mask" (its number in the text, from 0), "fills": [{"token", "score"}]}, the score a probability.
    """
    texts = list(texts)
    filler = text_pipelines.FillMask(model, tokenizer, batch_size)
    for text, masks in zip(texts, filler.stream([(text, None) for text in texts], top_k)):
        for number, found in enumerate(masks):
            yield {"text": text, "mask": number, "fills": found}


def table(answer: Dict) -> str:
    """One mask's fills for people to read: the text, then a line with probability and word for each fill."""
    rows = [f"  {fill['score']:6.1%}  {fill['token'].strip() or repr(fill['token'])}" for fill in answer["fills"]]
    return "\n".join([f"{answer['text']}  (mask {answer['mask'] + 1})", *rows])


def _write_json_lines(output: Optional[str], answers: Iterable[Dict], count: int,
                      finished: Callable[[Dict], bool] = lambda answer: True) -> None:
    """Write answers to a file, with progress over `count` texts, or to standard output."""
    if output is None:
        for answer in answers:
            sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        return
    with writing(output), files.atomic_path(output) as temporary, open(temporary, "w", encoding="utf-8") as file, \
            Progress(count, "predict", "text") as progress:
        for answer in answers:
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")
            progress.update(finished(answer))


def _classify_file(checkpoint: str, path: str, columns: Sequence[str], task: Optional[str], output: Optional[str],
                   batch_size: Optional[int]) -> None:
    known = get_task(task) if task else None
    lines = open_lines(pathlib.Path(path))
    model, tokenizer = pipeline.open_model(checkpoint, "classifier")
    labels = _label_names(known, model.config, checkpoint)
    if known and model.config.max_length is None:  # no training of ours says how texts are cut
        model.config = model.config.replace(cut=known.cut)
    trained = model.config.text_columns or (known.text_names if known else ())
    texts = read_texts(pathlib.Path(path), columns, trained, bool(model.config.text_columns), lines)
    found = text_pipelines.Classify(model, tokenizer, batch_size, labels).stream(texts)
    tally = Tally()
    _write_json_lines(output, tally.of(map(_beside_text, texts, found)), len(texts))
    if output is None:
        return
    print(tally.line())
    if tally.constant() is not None:
        logger.warning("%s: the model %s", output, tally.constant())


def _label_names(task: Optional[Task], config: Any, checkpoint: str) -> List[str]:
    """The names of the classifier's outputs, in their order.

    With a task they are its labels, otherwise the checkpoint's own, otherwise numbers.
    """
    own = list(config.labels or [])
    if task is None:
        return own or [str(i) for i in range(config.num_labels)]
    columns, notes = fit(config, own or None, task, checkpoint, "--checkpoint",
                         "leave --task out, or give the task that it was trained on")
    for note in notes:
        logger.warning("%s", note)
    labels = dict(zip(columns, task.labels))
    return [labels[i] for i in range(len(labels))]


def _beside_text(text: pipeline.Text, answer: Dict) -> Dict:
    """One line of the answers: the text, and what `bort_mx.pipeline` says of it."""
    return {"text": text[0], **({} if text[1] is None else {"text_pair": text[1]}), **answer}


def _embed_file(checkpoint: str, path: str, columns: Sequence[str], pooling: Optional[str], output: str,
                batch_size: Optional[int]) -> None:
    texts = read_texts(pathlib.Path(path), columns)
    model, tokenizer = pipeline.open_model(checkpoint, "encoder")
    way = pipeline.embedding_of(model.config, pooling)
    if model.config.embedding not in (None, way):
        logger.warning("--pooling %s: used in place of the checkpoint's own (%s)", pooling, model.config.embedding)
    shape = (len(texts), way.size(model.config.architecture.hidden_size))  # (lines, E)
    with writing(output), files.atomic_path(output) as temporary, Progress(len(texts), "embed", "text") as progress:
        array = new_array(temporary, shape)
        found = text_pipelines.Embed(model, tokenizer, batch_size).stream(texts, pooling)
        for row, values in enumerate(found):
            array[row] = values
            progress.update()
        array.flush()
    print(f"{output}: {shape[0]} embeddings of {shape[1]} numbers ({way})")
