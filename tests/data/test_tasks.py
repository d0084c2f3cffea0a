"""Readers on the official files and on broken ones, formats, training sets, submissions, the demo task, own tasks."""

import collections
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from bort_mx.data.encoding import encode_examples, truncate_pair
from bort_mx.data.table_files import read_lines
from bort_mx.data.task_registry import register
from bort_mx.data.tasks import TASKS, Example, MissingSplit, get_task, synthetic, write_benchmark_zip
from bort_mx.data.tasks.race import filled
from bort_mx.data.tasks.spans import find_words, mark_spans
from bort_mx.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"

# Counts of examples (a candidate answer is an example), where the files of ../shared are complete, and of dev's labels.
OFFICIAL = {
    "CoLA": ((8551, 1043, 1063), {"1": 721, "0": 322}),
    "SST-2": ((67349, 872, 1821), {"1": 444, "0": 428}),
    "MRPC": ((3668, 408, 1725), {"1": 279, "0": 129}),
    "STS-B": ((5749, 1500, 1379), None),
    "MNLI-matched": ((None, 9815, None), {"entailment": 3479, "contradiction": 3213, "neutral": 3123}),
    "QNLI": ((None, 5463, 5463), {"not_entailment": 2761, "entailment": 2702}),
    "RTE": ((2490, 277, 3000), {"entailment": 146, "not_entailment": 131}),
    "WNLI": ((635, 71, 146), {"0": 40, "1": 31}),
    "AX": ((None, 1104, 1104), {"entailment": 460, "neutral": 386, "contradiction": 258}),
    "BoolQ": ((None, 3270, 3245), {"true": 2033, "false": 1237}),
    "CB": ((250, 56, 250), {"contradiction": 28, "entailment": 23, "neutral": 5}),
    "COPA": ((800, 200, 1000), {"0": 100, "1": 100}),
    "MultiRC": ((27243, 4848, 9693), {"0": 2773, "1": 2075}),
    "superglue/RTE": ((2490, 277, 3000), {"entailment": 146, "not_entailment": 131}),
    "WiC": ((5428, 638, 1400), {"false": 319, "true": 319}),
    "WSC": ((554, 104, 146), {"False": 66, "True": 38}),
    "AX-b": ((None, 1104, 1104), {"not_entailment": 644, "entailment": 460}),
    "AX-g": ((None, 356, 356), {"not_entailment": 178, "entailment": 178}),
    "RACE-M": ((4 * 25421, 4 * 1436, 4 * 1436), {"0": 3 * 1436, "1": 1436}),
    "RACE-H": ((4 * 62445, 4 * 3451, 4 * 3498), {"0": 3 * 3451, "1": 3451}),
}
QUESTIONS = {"COPA": (400, 100, 500), "MultiRC": (5131, 953, 1820), "RACE-M": (25421, 1436, 1436),
             "RACE-H": (62445, 3451, 3498)}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_counts(shared, name):
    counts, labels = OFFICIAL[name]
    task = get_task(name)
    for position, (split, count) in enumerate(zip(("train", "dev", "test"), counts)):
        if count is None:
            continue
        examples = task.read(shared / "data", split)
        assert len(examples) == count
        assert not any("official set" in note for note in examples.notes)
        assert all(text.strip() for text in {text for example in examples for text in example.texts})
        if name in QUESTIONS:
            assert len({example.group for example in examples}) == QUESTIONS[name][position]
        if split == "dev" and labels:
            assert collections.Counter(example.label for example in examples) == labels
        if split == "test" and task.benchmark != "race" and task.name not in ("AX-b", "AX-g"):
            assert {example.label for example in examples} == {None}
        if split == "test" and task.benchmark != "race":
            assert list(dict.fromkeys(task.submission_ids(examples))) == task.submission_ids(examples)


@pytest.mark.parametrize("name, split, count", [("QQP", "train", 10309), ("MNLI-matched", "train", 10471),
                                                ("QNLI", "train", 10293), ("BoolQ", "train", 261)])
def test_samples_are_read_whole(shared, name, split, count):
    examples = get_task(name).read(shared / "data", split)
    assert len(examples) == count
    assert f"{count:,} where the official set has" in examples.notes[-1]


def test_a_file_that_was_cut_off_is_noted(shared, tmp_path):
    whole = (shared / "data" / "glue" / "SST-2" / "test.tsv").read_bytes()
    (tmp_path / "test.tsv").write_bytes(whole[:len(whole) // 2])
    notes = get_task("SST-2").read(tmp_path, "test").notes
    assert len(notes) == 1 and "where the official set has 1,821: a part of it, or a file that was cut off" in notes[0]
    (tmp_path / "test.tsv").write_bytes(whole + b"1821\tone more\n")
    assert get_task("SST-2").read(tmp_path, "test").notes == [
        "1,822 where the official set has 1,821: more than it, or another release"]


def test_layout_fixtures(shared, tmp_path):
    """The first official rows of the sets that are not complete here."""
    for source, target in (("glue/MNLI/dev_mismatched.head.tsv", "MNLI/dev_mismatched.tsv"),
                           ("glue/MNLI/test_matched.head.tsv", "MNLI/test_matched.tsv"),
                           ("glue/QQP/dev_official_head.tsv", "QQP/dev.tsv"),
                           ("glue/QQP/test_official_head.tsv", "QQP/test.tsv"),
                           ("superglue/ReCoRD/val.head.jsonl", "ReCoRD/val.jsonl"),
                           ("superglue/ReCoRD/test.head.jsonl", "ReCoRD/test.jsonl")):
        (tmp_path / target).parent.mkdir(exist_ok=True)
        shutil.copy(shared / "data" / source, tmp_path / target)
    assert len(get_task("MNLI-mismatched").read(tmp_path, "dev")) == 2
    assert len(get_task("MNLI-matched").read(tmp_path, "test")) == 1
    assert collections.Counter(e.label for e in get_task("QQP").read(tmp_path, "dev")) == {"0": 5, "1": 4}
    assert [e.idx for e in get_task("QQP").read(tmp_path, "test")] == list(range(9))
    record = get_task("ReCoRD")
    assert {e.label for e in record.read(tmp_path, "test")} == {None}
    dev = record.read(tmp_path, "dev")
    assert len({e.group for e in dev}) == 2
    best = [np.array([0.0, float(e.label)]) for e in dev]
    assert record.metrics_of(dev, record.predictions_from_scores(dev, np.array(best))) == {"f1": 1, "em": 1}


@pytest.mark.parametrize("folder", ["", "glue", "glue/RTE"])
def test_any_of_the_three_folders_will_do(shared, folder):
    assert len(get_task("RTE").read(shared / "data" / folder, "dev")) == 277


def test_race_from_its_folder(shared):
    task, root = get_task("RACE-M"), shared / "data" / "race" / "sample"
    dev = task.read(root, "dev")
    assert dev == task.read(root / "RACE", "dev") and len({e.group[0] for e in dev}) == 20
    scores = np.array([[0.0, e.label == "1"] for e in dev])
    assert task.metrics_of(dev, task.predictions_from_scores(dev, scores)) == {"accuracy": 1}


def test_quotes_byte_order_mark_and_line_ends(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b'\xef\xbb\xbf"a\x85\n' + "b\x85\u2028c\r\n".encode() + b'"d')
    with pytest.raises(InputError, match=r"text:1: not UTF-8 text \(byte 0x85\)"):
        list(read_lines(path))
    path.write_bytes('\ufeff"a\nb\x85\u2028c\r\n"d'.encode())
    assert list(read_lines(path)) == [(1, '"a'), (2, "b\x85\u2028c"), (3, '"d')]


def test_names():
    assert [get_task(n).key for n in ("RTE", "glue/rte", "superglue/RTE", "BoolQ", "race/RACE-M", "demo")] == [
        "RTE", "RTE", "superglue/RTE", "superglue/BoolQ", "RACE-M", "demo"]
    with pytest.raises(InputError, match=r"unknown task 'MNLI' \(did you mean MNLI-matched\?\); there are CoLA, "
                                         ".*MNLI-matched, .*superglue/RTE"):
        get_task("MNLI")


def test_tasks_come_in_the_order_of_the_papers_tables():
    assert list(TASKS) == [
        "CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-matched", "MNLI-mismatched", "QNLI", "RTE", "WNLI", "AX",
        "superglue/BoolQ", "superglue/CB", "superglue/COPA", "superglue/MultiRC", "superglue/ReCoRD", "superglue/RTE",
        "superglue/WiC", "superglue/WSC", "superglue/AX-b", "superglue/AX-g", "RACE-M", "RACE-H", "demo"]


NEW_TASK = """
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register()
class SciTail(TableTask):
    name = "SciTail"
    benchmark = ""
    folders = ("SciTail",)
    labels = ("neutral", "entails")
    submission_name = "SciTail.tsv"
"""

USE_OF_IT = """
from bort_mx.data.metrics import task_metrics
from bort_mx.data.tasks import TASKS, get_task
print(list(TASKS)[-2:], [e.label for e in get_task("scitail").read("data", "dev")])
print(task_metrics("SciTail", ["entails", 0], [1, 1]))
"""


@pytest.mark.parametrize("folder", ["", "glue"])
def test_a_task_is_added_by_one_new_file(tmp_path, folder):
    shutil.copytree(ROOT / "bort_mx", tmp_path / "bort_mx", ignore=shutil.ignore_patterns("__pycache__"))
    write(tmp_path / "bort_mx" / "data" / "tasks" / folder, "scitail.py", NEW_TASK)
    write(tmp_path / "data" / "SciTail", "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentails\n")
    done = subprocess.run([sys.executable, "-c", USE_OF_IT], cwd=tmp_path, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.stdout == "['SciTail', 'demo'] ['entails']\n{'accuracy': 0.5}\n"


def test_a_key_has_one_task():
    with pytest.raises(ValueError, match="the key 'RTE' belongs to bort_mx.data.tasks.glue.rte and to"):
        register()(type("Other", (), {"name": "RTE", "benchmark": "glue"}))
    assert TASKS["RTE"].__module__ == "bort_mx.data.tasks.glue.rte"


def test_every_task_is_whole():
    """What the training loop relies on, and that Table 4's to 6's tasks all have scores and a hyperparameter set."""
    for key, kind in TASKS.items():
        task = get_task(key)
        assert isinstance(task, kind) and task.key == key and task.criterion in task.metrics
        assert task.num_labels == (1 if task.is_regression else len(task.labels)) and task.batch_size in (8, 16)
        assert task.extra_layer == (key == "CoLA")
        if key != "demo":
            assert task.chs().batch_size in (task.batch_size, None) and task.chs().learning_rate <= 1e-4
            assert "Bort" in task.paper_scores()
    assert {key for key in TASKS if get_task(key).benchmark == "glue" and get_task(key).batch_size == 16} == {
        "SST-2", "QNLI", "QQP", "MNLI-matched", "MNLI-mismatched"}  # P1 §5.1
    with pytest.raises(InputError, match="no convergent hyperparameter set for demo"):
        get_task("demo").chs()


def test_hyperparameters_and_scores_are_the_papers(shared):
    numbers = json.loads((shared / "paper" / "numbers.json").read_text())
    for benchmark, table in (("glue", "table4_glue"), ("superglue", "table5_superglue"), ("race", "table6_race")):
        for name, values in numbers["chs"][benchmark].items():
            assert list(get_task(f"{benchmark}/{name}").chs()) == values
        for name in numbers["chs"][benchmark]:
            expected = dict(zip(numbers[table]["columns"], numbers[table][name]))
            assert get_task(f"{benchmark}/{name}").paper_scores() == expected


# Oddities


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_qqp_rows_with_missing_columns_are_counted(tmp_path, caplog):
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    write(tmp_path, "train.tsv", head + "1\t1\t2\tWhy?\tHow?\t0\n2\t3\t4\tWhy?\n3\t1\t2\tWhy?\tHow?\t1\n")
    examples = get_task("QQP").read(tmp_path, "train")
    assert [e.idx for e in examples] == [1, 3]
    assert examples.notes == ["left out 1 rows with too few columns (the first: line 3)",
                              "2 where the official set has 363,846: a part of it, or a file that was cut "
                              "off"]
    assert examples.notes[0] in caplog.text


def test_mnli_rows_without_agreed_label_are_counted(tmp_path):
    write(tmp_path, "dev_matched.tsv", "index\tsentence1\tsentence2\tgold_label\n0\ta\tb\t-\n1\ta\tb\tneutral\n")
    examples = get_task("MNLI-matched").read(tmp_path, "dev")
    assert [e.idx for e in examples] == [1] and "left out 1 rows without an agreed label" in examples.notes[0]


def test_wsc_spans_of_the_official_files_are_all_found(shared):
    task, mended = get_task("WSC"), []
    for split in ("train", "dev", "test"):
        examples = task.read(shared / "data", split)
        mended += [note.split(":")[0] for note in examples.notes]
        for example in examples:
            assert example.texts[0].count("§") == 2 == example.texts[0].count("¶")
    assert mended == ["example 42", "example 80", "example 81", "example 82"]


@pytest.mark.parametrize("text, span, index, found", [
    ("The cat sat.", "the cat", 0, "The cat"),
    ("He saw Mark's dog", "Mark", 2, "Mark"),
    ("We met con men, and left", "con men", 2, "con men"),
    ('he told him," she said', "him", 2, "him"),
    ("a b safe it was it", "it", 2, "it"),
])
def test_find_words(text, span, index, found):
    (start, end), _ = find_words(text, span, index)
    assert text[start:end] == found


def test_marks_are_single_tokens_that_no_text_contains(shared):
    from bort_mx.data.tokenizers import load_tokenizer

    for vocabulary in ("roberta", "bert_uncased"):
        tokenizer = load_tokenizer(shared / "data" / "vocab" / vocabulary)
        for mark in "§¶":
            ids = {tuple(tokenizer.encode_batch([text], add_special_tokens=False)[0]) for text in (mark, f" {mark}")}
            assert all(len(i) == 1 and tokenizer.unk_id not in i for i in ids)
    for name in ("WiC", "WSC"):
        for split in ("train", "val", "test"):
            text = (shared / "data" / "superglue" / name / f"{split}.jsonl").read_text(encoding="utf-8")
            assert not any(mark in text or mark in json.dumps(text, ensure_ascii=False) for mark in "§¶")


def test_marks_touching_and_at_the_ends():
    assert mark_spans("he saw it", [(0, 2, "§"), (7, 9, "¶")]) == "§ he § saw ¶ it ¶"
    assert mark_spans("it's", [(0, 2, "§")]) == "§ it § 's"


def test_wic_marks_the_official_characters():
    example, other = get_task("WiC").read(GOLDEN / "data", "test")
    assert example.texts == ("Cold § water § .", "His eyes were § watering § .")
    assert other.texts == ("§ Run § fast.", "I § run § .")


WIC = ('{"word": "place", "sentence1": "my place later", "sentence2": "it doesn\'t", "idx": 0, "label": true, '
       '"start1": %d, "end1": %d, "start2": 3, "end2": 7}')


@pytest.mark.parametrize("start, end, found", [(3, 7, "'plac' in sentence1, a part of 'place'"),
                                               (4, 8, "'lace' in sentence1, a part of 'place'"),
                                               (1, 8, "'y place' in sentence1, a part of 'my place'")])
def test_spans_that_begin_or_end_inside_a_word_are_refused(tmp_path, start, end, found):
    """../shared/cases/13. The official files have six, all of them "[does]n't"."""
    write(tmp_path, "train.jsonl", WIC % (3, 8))
    assert get_task("WiC").read(tmp_path, "train")[0].texts == ("my § place § later", "it § does § n't")
    write(tmp_path, "train.jsonl", WIC % (start, end))
    with pytest.raises(InputError, match=f"train.jsonl:1: start1-end1 = {start}-{end} is {found}"):
        get_task("WiC").read(tmp_path, "train")


def test_answers_and_indices_that_are_there_twice_are_noted(tmp_path, shared):
    answers = [{"idx": 0, "text": "yes", "label": 1}, {"idx": 1, "text": " yes", "label": 0},
               {"idx": 1, "text": "no", "label": 0}]
    record = {"idx": 4, "passage": {"text": "a", "questions": [{"idx": 2, "question": "b", "answers": answers}]}}
    write(tmp_path, "train.jsonl", json.dumps(record))
    assert get_task("MultiRC").read(tmp_path, "train").notes[:2] == [
        "answers that a question has twice: 1, 1 with another label (the first: passage, question, answer (4, 2, 1))",
        "examples with an idx that an earlier one has: 1"]
    copa = {"premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "idx": 0, "label": 0}
    write(tmp_path, "val.jsonl", f"{json.dumps(copa)}\n{json.dumps(copa)}\n")
    assert get_task("COPA").read(tmp_path, "dev").notes[0] == "examples with an idx that an earlier one has: 2"
    counts = [get_task("MultiRC").read(shared / "data", split).notes[0].split(": ")[1].split(" with")[0]
              for split in ("train", "dev", "test")]
    assert counts == ["8, 1", "1, 0", "3, 0"]


def test_question_formats():
    first, second = get_task("COPA").read(GOLDEN / "data", "test")[:2]
    assert first.texts == ("It rained. What happened as a result?", "The street got wet.")
    assert second.texts[1] == "The sun rose." and first.group == second.group == 0
    record = get_task("ReCoRD").read(GOLDEN / "data", "test")
    assert [e.meta["candidate"] for e in record] == ["CNN", "Zoë", "Bob", "Paris"] * 2  # Bob, named twice, once
    assert record[1].texts == ("(CNN) Zoë met Bob in Paris. Bob was glad", "In the end Zoë was glad")
    race = get_task("RACE-M").read(GOLDEN / "data" / "race", "test")
    assert race[1].texts == ("Tom has two red cats.", "Tom has two cats.")
    assert race[4].texts[1] == "What colour are they? red" and race[8].idx == "middle10.txt/0"
    assert filled("_ and _ ?", "one") == "_ and _ ? one"


# Bad input


BROKEN = [
    ("RTE", "train.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\n",
     r"train.tsv:2: 3 column\(s\) found, 4 expected \(index, sentence1, sentence2, label\)"),
    ("RTE", "train.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tmaybe\n",
     "train.tsv:2: unknown label 'maybe'; expected one of not_entailment, entailment"),
    ("RTE", "train.tsv", "", "train.tsv: the file is empty"),
    ("RTE", "train.tsv", "index\tsentence1\tsentence2\tlabel\n", "train.tsv: no examples"),
    ("RTE", "train.tsv", "index\tsentence1\tlabel\n0\ta\tentailment\n", "train.tsv:1: no column 'sentence2'"),
    ("RTE", "train.tsv", "index\tsentence1\tsentence2\tlabel\nx\ta\tb\tentailment\n", "train.tsv:2: 'x' found"),
    ("STS-B", "train.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\thigh\n", "train.tsv:2: target 'high' is"),
    ("STS-B", "train.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\tnan\n", "target nan is outside the"),
    ("STS-B", "train.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t5.1\n", "5.1 is outside the range 0 to 5"),
    ("CoLA", "train.tsv", "", "train.tsv: no examples"),
    ("BoolQ", "train.jsonl", "", "train.jsonl: the file is empty"),
    ("BoolQ", "train.jsonl", "{\n", "train.jsonl:1: not JSON at column"),
    ("BoolQ", "train.jsonl", "[1]\n", "train.jsonl:1: list found; expected a JSON object"),
    ("BoolQ", "train.jsonl", '{"passage": "a", "question": "b", "idx": 0}\n', "train.jsonl:1: no field 'label'"),
    ("BoolQ", "train.jsonl", '{"passage": "a", "question": "b", "idx": 0, "label": 1}\n', "'label' is 1; expected tr"),
    ("BoolQ", "train.jsonl", '{"passage": 1, "question": "b", "idx": 0, "label": true}\n', "'passage' is 1; expected"),
    ("CB", "train.jsonl", '{"premise": "a", "hypothesis": "b", "idx": 0, "label": "yes"}\n', "unknown label 'yes'"),
    ("COPA", "train.jsonl", '{"premise": "a", "choice1": "b", "choice2": "c", "question": "why", "idx": 0, "label": 0}',
     "question 'why'; expected cause or effect"),
    ("COPA", "train.jsonl", '{"premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "idx": 0, '
     '"label": 2}', "unknown label 2; expected one of 0, 1"),
    ("WiC", "train.jsonl", '{"word": "x", "sentence1": "a x", "sentence2": "x", "idx": 0, "start1": 2, "end1": 9, '
     '"start2": 0, "end2": 1, "label": true}', "start1-end1 = 2-9 is '' in sentence1; expected a form of 'x'"),
    ("WSC", "train.jsonl", '{"text": "a b", "idx": 0, "label": true, "target": {"span1_text": "dog", "span1_index": 1, '
     '"span2_text": "b", "span2_index": 1}}', "span1_index 1 of 'dog': word 1 is 'b', and 'dog' is nowhere"),
    ("ReCoRD", "train.jsonl", '{"idx": 0, "passage": {"text": "Bob", "entities": [{"start": 0, "end": 5}]}, "qas": []}',
     "entity span 0-5 lies outside its passage of 3 characters"),
    ("ReCoRD", "train.jsonl", '{"idx": 0, "passage": {"text": "Bob", "entities": [{"start": 0, "end": 2}]}, "qas": '
     '[{"idx": 0, "query": "who", "answers": []}]}', "query 0 has no @placeholder"),
    ("AX-g", "AX-g.jsonl", '{"hypothesis": "a", "premise": "b", "idx": 0, "label": "entailment"}\n', "are no pair"),
    ("RACE-M", "RACE/train/middle/1.txt", '{"article": "a", "questions": ["b"], "options": [["c"]], "answers": ["A"]}',
     r"1.txt: question 0 has options \['c'\]; expected a list of 4"),
    ("RACE-M", "RACE/train/middle/1.txt", '{"article": "a", "questions": ["b"], "options": [], "answers": ["A"]}',
     "1 questions, 0 lists of options and 1 answers"),
    ("RACE-M", "RACE/train/middle/1.txt",
     '{"article": "a", "questions": ["b"], "options": [["c", "d", "e", "f"]], "answers": ["E"]}', "has the answer 'E'"),
    ("RACE-M", "RACE/train/middle/1.txt", "{", "1.txt: not JSON at column 2"),
    ("RACE-M", "RACE/train/middle/1.txt", '{"article": "a", "questions": ["b"], "options": [["c", "d", "e", "f"]]}',
     "1.txt: no field 'answers'; found article, questions, options"),
    ("RACE-M", "RACE/train/middle/1.txt",
     '{"article": "a", "questions": [1], "options": [["c", "d", "e", "f"]], "answers": ["A"]}', "0 is 1; expected"),
    ("RACE-M", "RACE/train/middle/1.txt",
     '{"article": "a", "questions": ["b"], "options": [["c", "d", null, 4]], "answers": ["A"]}', "a list of 4 texts"),
    ("RACE-M", "RACE/train/middle/1.txt",
     '{"id": ["z"], "article": "a", "questions": [], "options": [], "answers": []}', "field 'id' is .* expected"),
    ("RTE", "train.tsv", "index\tsentence1\tsentence2\tlabel\tlabel\n0\ta\tb\tentailment\tnot_entailment\n",
     "train.tsv:1: column 'label' is there 2 times; rename or drop all but one"),
    ("BoolQ", "train.jsonl", '{"idx": 1' + "0" * 5000 + "}\n", "train.jsonl:1: not JSON .Exceeds the limit"),
    ("BoolQ", "train.jsonl", "[" * 100000 + "\n", "train.jsonl:1: not JSON .maximum recursion depth"),
    ("BoolQ", "train.jsonl", '{"passage": "a", "question": "\\ud800", "idx": 0, "label": true}\n',
     r"train.jsonl:1: holds half a character, \\ud800; write it whole"),
    ("MultiRC", "train.jsonl", '{"idx": 0, "passage": {"text": "a", "questions": [1]}}\n',
     "train.jsonl:1: 1 found; expected an object with the field 'idx'"),
    ("MultiRC", "train.jsonl", '{"idx": 0, "passage": {"text": "a", "questions": [{"idx": 0, "question": "b", '
     '"answers": [null]}]}}\n', "null found; expected an object with the field 'text'"),
    ("ReCoRD", "train.jsonl", '{"idx": 0, "passage": {"text": "Bob", "entities": [3]}, "qas": []}\n', "3 found; exp"),
    ("ReCoRD", "train.jsonl", '{"idx": 0, "passage": {"text": "Bob", "entities": [{"start": 0, "end": 2}]}, "qas": '
     '[{"idx": 0, "query": "@placeholder", "answers": [3]}]}', "3 found; expected an object with the field 'text'"),
    ("RACE-M", "RACE.tar.gz", "nonsense", "RACE.tar.gz: not a whole tar archive"),
]


@pytest.mark.parametrize("name, file, text, message", BROKEN)
def test_bad_files_give_one_clear_line(tmp_path, name, file, text, message):
    write(tmp_path, file, text)
    with pytest.raises(InputError, match=message) as caught:
        get_task(name).read(tmp_path, "test" if name == "AX-g" else "train")
    assert not isinstance(caught.value, MissingSplit) and "\n" not in str(caught.value)


def test_missing_splits_and_folders_differ(tmp_path):
    with pytest.raises(MissingSplit, match="the test set of RTE is not there; put the official file at .*RTE/test.tsv"):
        get_task("RTE").read(tmp_path, "test")
    with pytest.raises(MissingSplit, match="AX has no train set: the model of MNLI-matched predicts it"):
        get_task("AX").read(tmp_path, "train")
    with pytest.raises(MissingSplit, match="put the folder RACE or the file RACE.tar.gz into it"):
        get_task("RACE-H").read(tmp_path, "test")
    for name in ("RTE", "RACE-H"):
        with pytest.raises(InputError, match="no such folder") as caught:
            get_task(name).read(tmp_path / "nowhere", "test")
        assert not isinstance(caught.value, MissingSplit)
    with pytest.raises(InputError, match="no split 'validation'; there are train, dev, test"):
        get_task("RTE").read(tmp_path, "validation")


# Predictions and training sets


def test_candidates_are_compared_per_question():
    task = get_task("RACE-M")
    examples = [Example(0, ("a", "b"), None, group, {"candidate": letter}) for group in "xy" for letter in "ABCD"]
    order = [3, 0, 7, 1, 4, 2, 5, 6]  # of candidates mixed between questions
    scores = np.zeros((8, 2))
    scores[2], scores[5], scores[6] = (0, 1), (0, 3), (2, 4)  # question x: C; y: B, since 3 - 0 > 4 - 2
    assert task.predictions_from_scores(examples, scores) == ["C", "B"]
    assert task.predictions_from_scores([examples[i] for i in order], scores[order]) == ["C", "B"]
    with pytest.raises(ValueError, match=r"scores of shape \(8, 4\), not \(8, 2\)"):
        task.predictions_from_scores(examples, np.zeros((8, 4)))
    with pytest.raises(ValueError, match="1 scores are not finite"):
        scores[0, 0] = np.inf
        task.predictions_from_scores(examples, scores)


def test_test_sets_cannot_be_scored():
    for name in ("RTE", "COPA", "ReCoRD"):
        task = get_task(name)
        with pytest.raises(InputError, match="test set"):
            task.metrics_of(task.read(GOLDEN / "data", "test"), [0])


def test_regression_mistakes_compare_rounded_values():
    """P1 §5.1: "comparing the rounded version of the predictions and the labels"."""
    from bort_mx.agora.scoring import score_of

    task = get_task("STS-B")
    pairs = [Example(0, ("a", "b"), label) for label in (2.6, 3.4, 5.0)]
    score = score_of(task, "examples")
    assert score.right(pairs, [3.4, 3.6, 4.5]) == [True, False, False]  # 4.5 rounds to the even 4
    pairs = [Example(0, ("a", "b"), label) for label in ("entailment", "not_entailment")]
    assert score_of(get_task("RTE"), "examples").right(pairs, ["entailment", "entailment"]) == [True, False]


@pytest.mark.parametrize("name", ["MultiRC", "ReCoRD", "RACE-M", "RACE-H"])
def test_training_sets_are_balanced_by_seed(shared, name):
    task = get_task(name)
    root = shared / "data" / ("race/sample" if name.startswith("RACE") else "")
    everything = task.read(root, "train")
    before = collections.Counter(e.label for e in everything)
    first, again, other = (task.training_examples(everything, seed) for seed in (0, 0, 1))
    counts = collections.Counter(e.label for e in first)
    assert counts["0"] == counts["1"] and first == again and first != other
    positions = {id(e): i for i, e in enumerate(everything)}
    assert [positions[id(e)] for e in first] == sorted(positions[id(e)] for e in first)
    if name != "RACE-H":
        assert counts["1"] == before["1"]
        assert first.notes == [*everything.notes, f"discarded {before['0'] - before['1']} of {before['0']} negative "
                                                  f"examples for {before['1']} of the other label"]
    else:
        assert first.notes[len(everything.notes)] == "discarded 20 of 40 passages"
        assert len({e.group[0] for e in first}) == 20


def test_other_tasks_train_on_everything(shared):
    task = get_task("COPA")
    train = task.read(shared / "data", "train")
    assert task.training_examples(train, 0) is train


# Submissions


PREDICTIONS = {
    "CoLA": ["1", 0, True], "SST-2": [1, 0], "MRPC": np.array([1, 0]), "STS-B": [-0.2, 2.5, 5.7], "QQP": ["1", "0"],
    "MNLI-matched": ["entailment", "neutral", "contradiction"], "MNLI-mismatched": [0, 2],
    "QNLI": ["entailment", 0], "RTE": [1, 0], "WNLI": [1, 0], "AX": [2, 1, 0],
    "superglue/BoolQ": [True, False], "superglue/CB": ["entailment", "neutral", "contradiction"],
    "superglue/COPA": [0, "1"], "superglue/MultiRC": [0, 1, 1, 1, "0", "1"], "superglue/ReCoRD": ["Bob", "Zoë"],
    "superglue/RTE": [1, 0], "superglue/WiC": ["true", "false"], "superglue/WSC": [1, "false"],
    "superglue/AX-b": [1, 0], "superglue/AX-g": [1, 0], "RACE-M": ["B", 2, "D"], "RACE-H": ["A"],
}


@pytest.mark.parametrize("key", [key for key in TASKS if key != "demo"])
def test_submissions_equal_the_golden_files(tmp_path, key):
    task = get_task(key)
    test = task.read(GOLDEN / "data", "test")
    path = task.write_submission(tmp_path, PREDICTIONS[key])
    golden = GOLDEN / "submissions" / task.benchmark / path.name
    assert path.read_bytes() == golden.read_bytes()
    again = get_task(key).write_submission(tmp_path / "elsewhere.txt", PREDICTIONS[key], examples=test)
    assert again.read_bytes() == golden.read_bytes()
    by_index = dict(zip(task.submission_ids(test), PREDICTIONS[key]))
    assert get_task(key).write_submission(tmp_path, by_index).read_bytes() == golden.read_bytes()


def test_golden_files_are_all_used():
    expected = {f"{get_task(key).benchmark}/{get_task(key).submission_name}" for key in TASKS if key != "demo"}
    found = {path.relative_to(GOLDEN / "submissions").as_posix() for path in (GOLDEN / "submissions").glob("*/*")}
    assert found == expected and len(found) == 23


def test_simple_submissions_need_no_test_set_nested_ones_do(tmp_path):
    path = get_task("superglue/RTE").write_submission(tmp_path, [1, 0])
    assert path.read_text() == (GOLDEN / "submissions/superglue/RTE.jsonl").read_text()
    for name in ("MultiRC", "RACE-M"):
        with pytest.raises(InputError, match="read the test set first"):
            get_task(name).write_submission(tmp_path, [0])


def test_wrong_predictions_write_nothing(tmp_path):
    task = get_task("RTE")
    task.read(GOLDEN / "data", "test")
    for predictions, message in (([1], "1 predictions for the 2 of the test set"),
                                 ([1, "maybe"], "unknown label 'maybe'"), ([1, 7], "unknown label 7")):
        with pytest.raises(InputError, match=message):
            task.write_submission(tmp_path / "RTE.tsv", predictions)
    with pytest.raises(InputError, match="not a number"):
        get_task("STS-B").write_submission(tmp_path / "STS-B.tsv", ["high"])
    with pytest.raises(InputError, match="expected the text of an entity"):
        get_task("ReCoRD").write_submission(tmp_path / "ReCoRD.jsonl", [3])
    assert not list(tmp_path.iterdir())


def test_benchmark_zip(tmp_path):
    folder = GOLDEN / "submissions" / "glue"
    assert write_benchmark_zip(tmp_path / "glue.zip", "glue", folder) == []
    with zipfile.ZipFile(tmp_path / "glue.zip") as archive:
        assert archive.namelist() == ["CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "MNLI-m.tsv",
                                      "MNLI-mm.tsv", "QNLI.tsv", "RTE.tsv", "WNLI.tsv", "AX.tsv"]
        assert all(archive.read(name) == (folder / name).read_bytes() for name in archive.namelist())
    first = (tmp_path / "glue.zip").read_bytes()
    write_benchmark_zip(tmp_path / "glue.zip", "glue", folder)
    assert (tmp_path / "glue.zip").read_bytes() == first
    (tmp_path / "part").mkdir()
    get_task("CB").write_submission(tmp_path / "part", [1])
    missing = write_benchmark_zip(tmp_path / "part.zip", "superglue", tmp_path / "part")
    assert missing == ["BoolQ.jsonl", "COPA.jsonl", "MultiRC.jsonl", "ReCoRD.jsonl", "RTE.jsonl", "WiC.jsonl",
                       "WSC.jsonl", "AX-b.jsonl", "AX-g.jsonl"]
    with pytest.raises(InputError, match="no submission file of race in it; expected RACE-M.jsonl, RACE-H.jsonl"):
        write_benchmark_zip(tmp_path / "race.zip", "race", tmp_path)
    with pytest.raises(InputError, match="unknown benchmark ''"):
        write_benchmark_zip(tmp_path / "x.zip", "", tmp_path)


def test_mrpc_is_rebuilt_from_the_release(shared, tmp_path):
    """Taking the official files apart into the release's and building them again gives them back, byte for byte."""
    source = shared / "data" / "glue" / "MRPC"
    train, dev = ((source / f"{split}.tsv").read_text("utf-8-sig").splitlines() for split in ("train", "dev"))
    mixed = [row for pair in zip(train[1:], dev[1:]) for row in pair] + train[len(dev):]
    test = [f"1\t{row.split(chr(9), 1)[1]}" for row in (source / "test.tsv").read_text("utf-8").splitlines()]
    folder = tmp_path / "glue" / "MRPC"
    write(folder, "msr_paraphrase_train.txt", "\ufeff" + "\n".join([train[0], *mixed]) + "\n")
    write(folder, "msr_paraphrase_test.txt", "\ufeff" + "\n".join([train[0], *test[1:]]) + "\n")
    write(folder, "mrpc_dev_ids.tsv", "\n".join("\t".join(row.split("\t")[1:3]) for row in dev[1:]))
    get_task("MRPC").assemble(tmp_path)
    for name in ("train.tsv", "dev.tsv", "test.tsv"):
        assert (folder / name).read_bytes() == (source / name).read_bytes()


# Truncation and encoding


@pytest.mark.parametrize("a, b, limit, cut, kept", [
    (5, 3, 8, "longest", (5, 3)), (5, 3, 7, "longest", (4, 3)), (5, 3, 5, "longest", (3, 2)),
    (2, 9, 6, "longest", (2, 4)), (9, 9, 6, "longest", (3, 3)), (0, 9, 6, "longest", (0, 6)),
    (4, 4, 0, "longest", (0, 0)),
    (9, 3, 6, "first", (3, 3)), (9, 3, 3, "first", (0, 3)), (2, 9, 12, "first", (2, 9)),
])
def test_truncate_pair(a, b, limit, cut, kept):
    first, second = truncate_pair(list(range(a)), list(range(100, 100 + b)), limit, cut)
    assert (len(first), len(second)) == kept
    assert first == list(range(kept[0])) and second == list(range(100, 100 + kept[1]))


def test_truncation_never_loses_the_answer():
    question_and_answer = list(range(100, 120))
    assert truncate_pair(list(range(50)), question_and_answer, 10, "first") == ([], question_and_answer[-10:])
    with pytest.raises(ValueError, match="max_tokens -1"):
        truncate_pair([1], [2], -1)


def test_longest_first_equals_removing_one_token_at_a_time():
    for a in range(8):
        for b in range(8):
            for limit in range(16):
                first, second = list(range(a)), list(range(b))
                while len(first) + len(second) > limit:
                    (first if len(first) > len(second) else second).pop()
                assert truncate_pair(list(range(a)), list(range(b)), limit) == (first, second)


@pytest.mark.parametrize("vocabulary", ["roberta", "bert_uncased"])
def test_encoding_equals_the_tokenizers_own_pairs(shared, vocabulary):
    from bort_mx.data.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(shared / "data" / "vocab" / vocabulary)
    for name in ("RTE", "SST-2"):
        examples = get_task(name).read(shared / "data", "dev")[:40]
        encoded = encode_examples(tokenizer, examples, 512)
        assert encoded.ids == [tokenizer.encode(*example.texts, recognise_specials=False) for example in examples]
        assert encoded.truncated == 0
        short = encode_examples(tokenizer, examples, 24)
        assert max(map(len, short.ids)) == 24 and short.truncated == sum(len(ids) > 24 for ids in encoded.ids)
        assert [len(types) for types in short.token_types] == [len(ids) for ids in short.ids]


def test_answers_survive_a_long_passage(shared):
    from bort_mx.data.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(shared / "data" / "vocab" / "roberta")
    task = get_task("RACE-H")
    examples = task.read(shared / "data" / "race" / "sample", "dev")
    encoded = encode_examples(tokenizer, examples, 128, task.cut)
    assert encoded.truncated > len(examples) / 2
    for example, ids in zip(examples, encoded.ids):
        assert tokenizer.decode(ids).endswith(example.texts[1].strip())


# The demo task


def facts_of(sentence):
    """What a sentence says, with every converse turned round, so that equal meanings are equal sets."""
    stands_for = {}  # of a relation and its converse the first stands for both
    for plain, converse in [*synthetic._relations(), *((verb, f"was {verb} by") for verb in synthetic.HANDLED)]:
        if plain not in stands_for:
            stands_for[converse] = plain
    facts = set()
    for clause in " ".join(word for word in sentence.split() if word not in ("the", ".")).split(" but "):
        who, *relation, whom = clause.split()
        name = " ".join(relation)
        if relation[0] == "did":
            facts.add((f"{name} {whom}", who, None))
        else:
            facts.add((stands_for[name], whom, who) if name in stands_for else (name, who, whom))
    return frozenset(facts)


def solved(premise, hypothesis):
    """The label by rule, from the two texts alone. This proves that word order decides every example."""
    entailed = facts_of(hypothesis) <= facts_of(premise)
    return synthetic.ENTAILMENT if entailed else synthetic.NOT_ENTAILMENT


def test_demo_rules_agree_with_the_labels_and_splits_are_disjoint():
    splits = synthetic.generate()
    assert {split: len(pairs) for split, pairs in splits.items()} == synthetic.SIZES
    for pairs in splits.values():
        assert all(solved(premise, hypothesis) == label for premise, hypothesis, label in pairs)
        counts = collections.Counter(label for *_, label in pairs)
        assert counts == dict.fromkeys(get_task("demo").labels, len(pairs) // 2)
    seen = [(premise, hypothesis) for pairs in splits.values() for premise, hypothesis, _ in pairs]
    assert len(set(seen)) == len(seen)
    assert synthetic.generate() == splits and synthetic.generate(seed=1) != splits


@pytest.mark.parametrize("together", [True, False])
def test_demo_is_chance_for_a_bag_of_words(together):
    """TF-IDF and logistic regression, on both texts as one bag or as two, with words and their counts."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    splits = synthetic.generate()

    def features(vectorizer, split):
        if together:
            return vectorizer.transform([f"{premise} {hypothesis}" for premise, hypothesis, _ in splits[split]])
        return hstack([vectorizer.transform([pair[i] for pair in splits[split]]) for i in (0, 1)])

    for kind in (TfidfVectorizer, CountVectorizer):
        vectorizer = kind().fit([" ".join(pair[:2]) for pair in splits["train"]])
        model = LogisticRegression(C=10, max_iter=300)
        model.fit(features(vectorizer, "train"), [label for *_, label in splits["train"]])
        found = model.predict(features(vectorizer, "dev"))
        assert abs(np.mean(found == [label for *_, label in splits["dev"]]) - 0.5) < 0.03


def test_demo_from_files_equals_demo_from_memory(tmp_path):
    synthetic.write(tmp_path / "demo", {"train": 40, "dev": 8, "test": 8}, seed=3)
    task = get_task("demo")
    made = synthetic.generate({"train": 40, "dev": 8, "test": 8}, seed=3)
    for split in ("train", "dev", "test"):
        read = task.read(tmp_path, split)
        expected = [(*pair[:2], None if split == "test" else pair[2]) for pair in made[split]]
        assert [(*e.texts, e.label) for e in read] == expected
    assert len(task.read(None, "dev")) == 400
    with pytest.raises(InputError, match="multiple of 4"):
        synthetic.generate({"train": 6})
    with pytest.raises(InputError, match="the rules make"):
        synthetic.generate({"train": 100000})


# A user's own task


DESCRIPTION = """
files: {train: train.csv, dev: dev.tsv, test: test.jsonl}
columns: {text: body, text_pair: title, label: stars, idx: id}
labels: [bad, good]
metrics: [accuracy, f1]
criterion: f1
batch_size: 4
cut: first
"""


def test_own_task(tmp_path):
    path = write(tmp_path, "reviews.yaml", DESCRIPTION)
    write(tmp_path, "train.csv", 'id,body,title,stars\na,"good, ""really""\nso",Yes,good\nb,bad,No,bad\n')
    write(tmp_path, "dev.tsv", 'id\tbody\ttitle\tstars\nc\t"so\tYes\tgood\n')
    write(tmp_path, "test.jsonl", '{"id": "d", "body": "fine", "title": "Hm", "stars": null}\n')
    task = get_task(str(path))
    assert task.read(None, "train")[0] == Example("a", ('good, "really" so', "Yes"), "good")
    assert task.read(tmp_path, "dev")[0].texts[0] == '"so'
    assert task.read(None, "test")[0].label is None
    assert (task.name, task.labels, task.criterion, task.batch_size, task.cut) == (
        "reviews", ["bad", "good"], "f1", 4, "first")
    assert task.write_submission(tmp_path, [1]).read_text() == "index\tprediction\nd\tgood\n"
    assert task.metrics_of(task.read(None, "train"), [1, 0]) == {"accuracy": 1, "f1": 1}


def test_own_regression(tmp_path):
    description = "files: {train: a.tsv, dev: a.tsv}\ncolumns: {text: t, label: y}\nregression: true\n"
    path = write(tmp_path, "age.yaml", description)
    write(tmp_path, "a.tsv", "t\ty\nx\t-1\nz\t3.5\n")
    task = get_task(path)
    assert [e.label for e in task.read(None, "train")] == [-1, 3.5] and task.num_labels == 1
    assert task.metrics_of(task.read(None, "dev"), [0.1, 0.2]) == {"pearson": pytest.approx(1)}
    with pytest.raises(MissingSplit, match="no test set under `files`, so none is predicted"):
        task.read(None, "test")
    for target, message in (("old", "is not a number"), ("nan", "is not a finite number in float32"),
                            ("-1e39", "is not a finite number in float32"), ("1_0", "is not a number")):
        write(tmp_path, "a.tsv", f"t\ty\nx\t{target}\n")
        with pytest.raises(InputError, match=f"a.tsv:2: target '{target}' {message}"):
            task.read(None, "train")
    lines = get_task(write(tmp_path, "age.yaml", description.replace("a.tsv", "a.jsonl")))
    for target, message in (("1" + "0" * 400, "of too many digits is not a finite number in float32"),
                            ("true", "True is not a number")):
        write(tmp_path, "a.jsonl", f'{{"t": "x", "y": {target}}}\n')
        with pytest.raises(InputError, match=f"a.jsonl:1: target {message}"):
            lines.read(None, "train")


def test_yes_and_no_that_yaml_reads_as_booleans(tmp_path):
    description = "files: {train: a.tsv, dev: a.tsv}\ncolumns: {text: t, label: y}\nlabels: [no, yes]\n"
    write(tmp_path, "a.tsv", "t\ty\nx\tno\n")
    with pytest.raises(InputError, match="a.tsv:2: unknown label 'no'; expected one of false, true .quote yes and no"):
        get_task(write(tmp_path, "own.yaml", description)).read(None, "train")
    quoted = description.replace("no, yes", "'no', 'yes'")
    assert get_task(write(tmp_path, "own.yaml", quoted)).read(None, "train")[0].label == "no"


def test_blank_lines_at_the_end_of_own_files_hold_nothing(tmp_path):
    task = get_task(write(tmp_path, "reviews.yaml", DESCRIPTION.replace("cut: first", "name: null")))
    assert task.name == "reviews"
    write(tmp_path, "train.csv", "id,body,title,stars\na,b,c,good\n\n\r\n")
    write(tmp_path, "dev.tsv", "id\tbody\ttitle\tstars\na\tb\tc\tgood\n\n")
    write(tmp_path, "test.jsonl", '{"id": 1, "body": "b", "title": "c"}\n{"id": 1, "body": "d", "title": "e"}\n\n\n')
    assert [len(task.read(None, split)) for split in ("train", "dev", "test")] == [1, 1, 2]
    assert task.read(None, "test").notes == ["examples with an idx that an earlier one has: 1"]
    write(tmp_path, "train.csv", "id,body,title,stars\n\na,b,c,good\n")
    assert task.read(None, "train").notes == ["blank lines left out: 1 (the first: line 2)"]
    write(tmp_path, "one.yaml", "files: {train: t.tsv, dev: t.tsv, test: test.tsv}\ncolumns: {text: t, label: y}\n"
                                "labels: [a, b]\n")
    write(tmp_path, "test.tsv", "t\nfirst\n\n")  # of one column: an empty text
    assert [example.texts for example in get_task(tmp_path / "one.yaml").read(None, "test")] == [("first",), ("",)]


@pytest.mark.parametrize("change, message", [
    (("stars, ", "stars, size: x, "), "columns: only text, text_pair, label, idx"),
    (("cut: first", "cut: all"), "cut: longest or first"),
    (("batch_size: 4", "batch_size: none"), "field 'batch_size' is 'none'; expected a whole number above 0"),
    (("criterion: f1", "criterion: em"), "criterion: it must be one of metrics"),
    (("bad, good", "bad"), "labels: at least two different ones are needed"),
    (("labels:", "label:"), "unknown field 'label'"),
    (("[accuracy, f1]", "[pearson]"), "metrics: accuracy, f1, matthews are possible"),
    (("dev: dev.tsv, ", ""), "files: train and dev are needed"),
    (("cut: first", "regression: true"), "labels and regression: true exclude each other"),
    (("files:", "files: ["), "reviews.yaml:3: not YAML"),
    (("cut: first", "metrics: [f1]"), "reviews.yaml:[0-9]+: not YAML .'metrics' is given a second time, first on line"),
    (("bad, good", 'bad, "\\ud800"'), "holds half a character"),
    (("cut: first", "name: 2024-13-45"), "reviews.yaml: not YAML .month must be in 1"),
    (("cut: first", "cut: !!bool x"), "reviews.yaml: not YAML .'x'"),
    (("cut: first", "cut: \x01"), "reviews.yaml: not YAML .character 0x1 at position"),
    (("cut: first", "name: ../reviews"), "name: '../reviews' names the submission file; give a plain file name"),
    (("cut: first", "name: a/b"), "name: 'a/b' names"), (("cut: first", "name: predictions"), "and not 'predictions'"),
    (("cut: first", "name: " + "漢" * 90), "give a plain file name"),
    (("cut: first", "name: ''"), "name: '' names"), (("cut: first", 'name: "a\\tb"'), "give a plain file name"),
    (("text: body", "text: [body, title]"), "columns: each is the name of one column"),
    (("text: body", "text: null"), "columns: each is the name of one column"),
    (("[accuracy, f1]", "[accuracy, [f1]]"), "metrics: accuracy, f1, matthews are possible"),
    (("train.csv", "[train.csv]"), "files: each split is the name of one file"),
    (("bad, good", "bad, ''"), "labels: none may be empty"), (("bad, good", 'bad, "a\\tb"'), "hold a tab"),
])
def test_own_task_described_badly(tmp_path, change, message):
    path = write(tmp_path, "reviews.yaml", DESCRIPTION.replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        get_task(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("file, text, message", [
    ("train.csv", "id,body,title,stars\na,b,good\n", r"train.csv:2: 3 column\(s\) found, 4 expected"),
    ("train.csv", "id,body,stars\na,b,good\n", "no column 'title'"), ("train.csv", "", "the file is empty"),
    ("train.csv", 'id,body,title,stars\na,"b,c,good\n', "not CSV"),
    ("train.csv", "id,body,title,stars\na,b,c,ugly\n", "train.csv:2: unknown label 'ugly'; expected one of bad, good"),
    ("train.csv", "id,body,title,stars\na,b,c,\n", "train.csv:2: column 'stars' is empty; give a label"),
    ("train.csv", "id,body,title,stars,body\na,b,c,good,d\n", "train.csv:1: column 'body' is there 2 times"),
    ("train.csv", 'id,body,title,stars\n"a\tb",b,c,good\n', r"column 'id' is 'a\\tb'; expected a number or a text"),
])
def test_own_files_that_are_bad(tmp_path, file, text, message):
    path = write(tmp_path, "reviews.yaml", DESCRIPTION)
    write(tmp_path, file, text)
    with pytest.raises(InputError, match=message):
        get_task(path).read(None, "train")


def test_own_labels_that_differ_in_case_alone_are_two(tmp_path):
    path = write(tmp_path, "own.yaml", "files: {train: a.tsv, dev: a.tsv}\ncolumns: {text: t, label: y}\n"
                                       "labels: [a, A, Bc]\n")
    write(tmp_path, "a.tsv", "t\ty\nx\tA\nz\ta\n")
    task = get_task(path)
    assert [task.label_index(e.label) for e in task.read(None, "train")] == [1, 0] and task.label_index("bC") == 2
    assert task.score(["a", "a"], ["A", "a"]) == {"accuracy": 0.5}


def test_a_long_text_of_a_csv_file_is_read_whole(tmp_path):
    path = write(tmp_path, "reviews.yaml", DESCRIPTION)
    write(tmp_path, "train.csv", f"id,body,title,stars\na,{'x' * 200_000},c,good\n")
    assert len(get_task(path).read(None, "train")[0].texts[0]) == 200_000


def test_own_task_missing():
    with pytest.raises(InputError, match="nowhere.yaml: no such file"):
        get_task("nowhere.yaml")


def test_reading_logs_nothing_on_clean_files(shared, caplog):
    with caplog.at_level(logging.WARNING):
        get_task("MRPC").read(shared / "data", "dev")
    assert not caplog.records
