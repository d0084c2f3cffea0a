"""Tables as pandas, Excel and Kaggle write them: read as they are meant, each tolerance noted once with its count."""

import bz2
import csv
import gzip
import json

import pytest

from bort_mx.data.table_files import quoted_fields
from bort_mx.data.table_records import names_of_columns, records_of
from bort_mx.data.tasks import MissingSplit, get_task, guessing
from bort_mx.errors import InputError


def task_of(folder, text, name="t.csv", columns="{text: text, label: label}", labels="labels: [0, 1]", split="train"):
    """An own task whose files are all one, with this text."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    path = folder / "own.yaml"
    path.write_text(f"files: {{train: {name}, dev: {name}, test: {name}}}\ncolumns: {columns}\n{labels}\n")
    return get_task(path).read(None, split)


def pairs(examples):
    return [(example.texts[0], example.label) for example in examples]


@pytest.mark.parametrize("name, text, options, due, notes", [
    # case 08, Kaggle's spam.csv
    ("t.csv", 'Type,Message,,,\nham,"Go now, it is late",,,\nspam,"WIN a prize",,,\n',
     dict(columns="{text: Message, label: Type}", labels="labels: [ham, spam]"),
     [("Go now, it is late", "ham"), ("WIN a prize", "spam")], ["columns without a name, not read: 3"]),
    ("t.csv", "x,text,x,label\n1,a,2,1\n", {}, [("a", "1")], ["columns that are there twice and not read (x): 1"]),
    ("t.tsv", "x\ttext\tx\tlabel\n1\ta\t2\t1\n", {}, [("a", "1")],
     ["columns that are there twice and not read (x): 1"]),
    # case 09, quotes in TSV
    ("t.tsv", 'text\tlabel\n"He said ""hi"", then left"\t"A, B, and C"\nfine\tD\n',
     dict(labels='labels: ["A, B, and C", D]'), [('He said "hi", then left', "A, B, and C"), ("fine", "D")],
     ["fields in quotes, as pandas and Excel write them, read without: 2"]),
    ("t.tsv", 'text\tlabel\n"He said ""hi"", then left"\t"A, B, and C"\nfine\tD\n',
     dict(labels="""labels: ['"A, B, and C"', D]"""), [('He said "hi", then left', '"A, B, and C"'), ("fine", "D")],
     ["fields in quotes, as pandas and Excel write them, read without: 2",
      "labels 'A, B, and C' read as '\"A, B, and C\"': 1 (the first: line 2)"]),
    ("t.tsv", 'text\tlabel\n"so\t1\n"Yes" he said\t0\n"Quoted"\t1\n', {}, [('"so', "1"), ('"Yes" he said', "0"),
                                                                         ('"Quoted"', "1")], []),
    ("t.tsv", 'text\tlabel\n"two\nlines, a\ttab"\t1\n', {}, [("two lines, a tab", "1")],
     ["fields in quotes, as pandas and Excel write them, read without: 1"]),
    # case 11, labels as pandas spells them
    ("t.csv", "text,label\na,1.0\nb,0.0\nc,1\nd,1.0\n", {}, [("a", "1"), ("b", "0"), ("c", "1"), ("d", "1")],
     ["labels '1.0' read as '1': 2 (the first: line 2)", "labels '0.0' read as '0': 1 (the first: line 3)"]),
    ("t.csv", "text,label\na,True\nb,False\n", dict(labels="labels: [False, True]"), [("a", "true"), ("b", "false")],
     ["labels 'True' read as 'true': 1 (the first: line 2)", "labels 'False' read as 'false': 1 (the first: line 3)"]),
    ("t.csv", "text,label\na,good \nb,Bad\n", dict(labels="labels: [bad, good]"), [("a", "good"), ("b", "bad")],
     ["labels 'good ' read as 'good': 1 (the first: line 2)", "labels 'Bad' read as 'bad': 1 (the first: line 3)"]),
    # case 12, blank lines
    ("t.csv", "text,label\na,1\n\nb,0\n", {}, [("a", "1"), ("b", "0")],
     ["blank lines left out: 1 (the first: line 3)"]),
    ("t.csv", "text,label\na,1\nb,0\n   \n", {}, [("a", "1"), ("b", "0")], []),
    ("t.csv", "text,label\n,\na,1\n", {}, [("a", "1")], ["blank lines left out: 1 (the first: line 2)"]),
    ("t.tsv", "text\tlabel\n\n\na\t1\n", {}, [("a", "1")], ["blank lines left out: 2 (the first: line 2)"]),
    ("t.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b", "label": 0}\n', {}, [("a", "1"), ("b", "0")],
     ["blank lines left out: 1 (the first: line 2)"]),
    # siblings
    ("t.json", '{"text": "a", "label": 1}\n{"text": "b", "label": 0.0}\n', {}, [("a", "1"), ("b", "0")],
     ["labels '0.0' read as '0': 1 (the first: line 2)"]),
    ("t.json", '[{"text": "a", "label": 1},\n {"text": "b", "label": 0}]\n', {}, [("a", "1"), ("b", "0")], []),
    ("t.csv", "text,label\ra,1\rb,0\r", {}, [("a", "1"), ("b", "0")], []),
    ("t.csv", "text,label\na\rc,1\nb,0\r\n", {}, [("a c", "1"), ("b", "0")],
     ["lines with a carriage return inside, read as a space: 1 (the first: line 2)"]),
    ("t.csv", "text;label\na, b;1\n", {}, [("a, b", "1")], ["read with semicolons between the fields, not commas"]),
    ("t.csv", "text,label\na,1,,\nb,0\n", {}, [("a", "1"), ("b", "0")],
     ["rows with empty fields beyond the header's: 1 (the first: line 2)"]),
])
def test_what_is_tolerated_is_read_as_meant_and_noted_once(tmp_path, name, text, options, due, notes):
    examples = task_of(tmp_path, text, name, **options)
    assert pairs(examples) == due and examples.notes == notes


@pytest.mark.parametrize("name, text, options, message", [
    ("t.csv", "text,text,label\na,b,1\n", {}, "t.csv:1: column 'text' is there 2 times; rename or drop all but one"),
    ("t.csv", ",label\na,1\n", {}, "no column 'text'; found label"),
    ("t.csv", "text,label\na,1.5\n", {}, "t.csv:2: unknown label '1.5'; expected one of 0, 1"),
    ("t.csv", "text,label\na,Aa\n", dict(labels="labels: [aa, AA]"), "unknown label 'Aa'"),
    ("t.csv", "text,label\na,-1\n", {}, "unknown label '-1'"),
    ("t.csv", "text,label\na,1,x\n", {}, r"t.csv:2: 3 column\(s\) found, 2 expected"),
    ("t.csv", b"\xff\xfet\x00e\x00", {}, "t.csv: UTF-16 text; convert it to UTF-8: iconv"),
    ("t.csv", "text,label\ncaf\u00e9,1\n".encode("latin-1"), {},
     "t.csv:2: not UTF-8 text .byte 0xe9.; convert the file"),
    ("t.json", '[{"text": "a", "label": 1}, 3]', {}, "t.json: object 2: int found; expected a JSON object"),
    ("t.json", '[{"text": "a"', {}, "t.json: not JSON"),
])
def test_what_can_be_read_in_two_ways_or_none_is_refused(tmp_path, name, text, options, message):
    with pytest.raises(InputError, match=message) as caught:
        task_of(tmp_path, text, name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("separator, said", [(";", "semicolons"), ("\t", "tabs"), (",", "commas"), ("|", "'|'")])
def test_excels_line_that_says_the_separator_is_followed(tmp_path, separator, said):
    text = f"sep={separator}\ntext{separator}label\n\"a; b\"{separator}1\nc{separator}0\n"
    examples = task_of(tmp_path, text)
    assert pairs(examples) == [("a; b", "1"), ("c", "0")]
    assert examples.notes == [f"read with {said} between the fields, as its first line says (sep=)"]
    with pytest.raises(InputError, match=r"t\.csv:5: 3 column\(s\) found"):  # the line of the file
        task_of(tmp_path, text + separator.join("abc"))
    path = tmp_path / "reviews.csv"
    path.write_text(f"sep={separator}\ntext{separator}label\n" + f"a{separator}1\nb{separator}0\n" * 9)
    assert guessing.header_of(path) == names_of_columns(path) == ["text", "label"]


@pytest.mark.parametrize("name, content, message", [
    ("t.csv", b"PK\x03\x04\x14\x00\x06\x00", r"a zip archive \(or .docx, .xlsx, .epub\)"),
    ("t.csv", gzip.compress(b"text,label\na,1\n", mtime=0), "gzip-compressed; decompress it"),
    ("t.tsv", bz2.compress(b"text\tlabel\na\t1\n"), "bz2-compressed; decompress it"),
    ("t.csv", "text,label\na,1\n".encode("utf-16-le"), "zero bytes, as UTF-16 without its mark has"),
    ("t.csv", "text,label\na,1\n".encode("utf-16-be"), "zero bytes, as UTF-16 without its mark has"),
    ("t.jsonl", b"PAR1\x15\x04\x15", "a Parquet table"),
    ("t.json", b'{"text": {"0": "a"}, "label": {"0": 1}}', "holds whole columns; write one object a row: in pandas"),
    ("t.json", b'{"columns": ["text"], "index": [0], "data": [["a"]]}', "holds its rows in 'data'; .*orient='records'"),
    ("t.json", b'{\n "version": 1,\n "data": [\n  {"text": "a", "label": 1}]\n}', "holds its rows in 'data'")])
def test_what_is_no_table_is_refused_by_what_it_is(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        names_of_columns(path)
    with pytest.raises(InputError, match=message):
        list(records_of(path))


def test_an_object_in_many_lines_is_one_record(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{\n "text": "a",\n "label": 1\n}\n')
    assert [record for _, record in records_of(path)] == [{"text": "a", "label": 1}]


@pytest.mark.parametrize("value, spelled", [("-1", "'-1'"), ("-1.0", "'-1.0'"), ("hidden", "'hidden'"),
                                            ("NaN", "'NaN'"), ("NA", "'NA'"), ("#N/A", "'#N/A'"), ("", None)])
def test_labels_of_a_test_set_that_mean_none(tmp_path, value, spelled):
    """Case 10: datasets and TFDS write -1."""
    examples = task_of(tmp_path, f"text,label\nc,{value}\nd,{value}\n", split="test")
    assert pairs(examples) == [("c", None), ("d", None)]
    assert examples.notes == ([f"labels of the test set that mean none ({spelled}): 2 (the first: line 2)"] if spelled
                              else [])
    assert pairs(task_of(tmp_path, "text,label\nc,-1\nd,1\n", labels="labels: [-1, 1]", split="test")) == [
        ("c", "-1"), ("d", "1")]
    targets = task_of(tmp_path, "text,label\nc,-1\nd,2\n", labels="regression: true", split="test")
    assert pairs(targets) == [("c", -1.0), ("d", 2.0)]
    targets = task_of(tmp_path, "text,label\nc,-1\nd,-1\n", labels="regression: true", split="test")
    assert pairs(targets) == [("c", None), ("d", None)] and len(targets.notes) == 1


@pytest.mark.parametrize("name, file, text", [
    ("RTE", "test.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t-1\n"),
    ("RTE", "test.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t\n"),
    ("STS-B", "test.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t-1.0\n"),
    ("MNLI-matched", "test_matched.tsv", "index\tsentence1\tsentence2\tgold_label\n0\ta\tb\thidden\n"),
    ("MNLI-matched", "test_matched.tsv", "index\tsentence1\tsentence2\tgold_label\n0\ta\tb\t-\n"),
    ("CB", "test.jsonl", '{"premise": "a", "hypothesis": "b", "idx": 0, "label": null}\n'),
    ("CB", "test.jsonl", '{"premise": "a", "hypothesis": "b", "idx": 0, "label": -1}\n'),
    ("BoolQ", "test.jsonl", '{"passage": "a", "question": "b", "idx": 0, "label": -1}\n'),
    ("COPA", "test.jsonl", '{"premise": "a", "choice1": "b", "choice2": "c", "question": "cause", "idx": 0, '
                           '"label": -1}\n'),
    ("MultiRC", "test.jsonl", '{"idx": 0, "passage": {"text": "a", "questions": [{"idx": 0, "question": "b", '
                              '"answers": [{"idx": 0, "text": "c", "label": -1}]}]}}\n'),
])
def test_official_test_sets_as_others_pass_them_on(tmp_path, name, file, text):
    (tmp_path / file).write_text(text)
    assert {example.label for example in get_task(name).read(tmp_path, "test")} == {None}


def test_official_labels_and_blank_lines_as_pandas_writes_them(tmp_path):
    (tmp_path / "train.tsv").write_text("index\tsentence1\tsentence2\tlabel\t\n0\ta\tb\tEntailment\t\n\n1\ta\tb\t"
                                        "not_entailment \t\n")
    examples = get_task("RTE").read(tmp_path, "train")
    assert [example.label for example in examples] == ["entailment", "not_entailment"]
    assert examples.notes[:4] == [
        "columns without a name, not read: 1", "labels 'Entailment' read as 'entailment': 1 (the first: line 2)",
        "blank lines left out: 1 (the first: line 3)",
        "labels 'not_entailment ' read as 'not_entailment': 1 (the first: line 4)"]


def test_labels_of_json_lines_read_otherwise_are_noted(tmp_path):
    record = '{"premise": "a", "hypothesis": "b", "idx": 0, "label": %s}'
    (tmp_path / "train.jsonl").write_text(record % '"Neutral"' + "\n")
    (tmp_path / "test.jsonl").write_text(record % "-1" + "\n")
    task = get_task("CB")
    assert task.read(tmp_path, "train").notes[0] == "labels 'Neutral' read as 'neutral': 1 (the first: line 1)"
    assert task.read(tmp_path, "test").notes[0] == "labels of the test set that mean none (-1): 1 (the first: line 1)"


def test_a_test_set_alone_is_a_task(tmp_path):
    """Case 15."""
    (tmp_path / "new.tsv").write_text("text\nA new one\n")
    (tmp_path / "a.yaml").write_text("files: {test: new.tsv}\ncolumns: {text: text}\nlabels: [0, 1]\n")
    task = get_task(tmp_path / "a.yaml")
    assert pairs(task.read(None, "test")) == [("A new one", None)]
    with pytest.raises(MissingSplit, match="no train set under `files`; train and dev are needed for training"):
        task.read(None, "train")
    (tmp_path / "b.yaml").write_text("files: {dev: new.tsv}\ncolumns: {text: text}\nlabels: [0, 1]\n")
    with pytest.raises(InputError, match="columns: label is needed"):
        get_task(tmp_path / "b.yaml")


ROWS = [["plain", "1"], ['with "quotes"', "0"], ['"all quoted"', "1"], ["two\nlines", "0"], ["a, comma", "1"],
        ["a\ttab", "0"], ["'single'", "1"]]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("delimiter, name", [("\t", "t.tsv"), (",", "t.csv"), (";", "t.csv")])
def test_what_the_csv_library_writes_is_read_back(tmp_path, delimiter, name, quoting):
    with open(tmp_path / name, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows([["text", "label"], *ROWS])
    rows = [list(fields.values()) for _, fields in records_of(tmp_path / name, ["text", "label"])]
    assert rows == ROWS and names_of_columns(tmp_path / name, ["text", "label"]) == ["text", "label"]


def test_files_of_glue_have_no_quotes_of_a_program(shared):
    """Quotes there are characters, and are left alone even if such a file is taken as an own task."""
    for name in ("SST-2/dev.tsv", "MRPC/test.tsv", "QNLI/dev.tsv", "RTE/dev.tsv"):
        assert quoted_fields(shared / "data/glue" / name) == 0


def test_columns_of_json_lines_are_the_first_objects_fields(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "a", "label": 1}) + "\n")
    assert names_of_columns(tmp_path / "t.jsonl") == ["text", "label"]
