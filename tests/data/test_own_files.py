"""A task from files alone: what is guessed, what is said, what is refused."""

import json
import pathlib

import pytest

from bort_mx.data.tasks import guessing
from bort_mx.data.tasks.own_files import OwnFiles, Sources, Trained
from bort_mx.errors import InputError


def table(path, header, rows, separator=","):
    path.write_text("\n".join(separator.join(map(str, row)) for row in [header, *rows]) + "\n")
    return str(path)


@pytest.fixture
def reviews(tmp_path):
    rows = [(f"film {i}", ["bad", "good"][i % 2]) for i in range(40)]
    return table(tmp_path / "reviews.csv", ["text", "label"], rows)


@pytest.mark.parametrize("header, texts, label", [
    (["text", "label"], ["text"], "label"),
    (["id", "Sentence1", "Sentence2", "gold"], ["Sentence1", "Sentence2"], "gold"),
    (["label", "premise", "hypothesis", "genre"], ["premise", "hypothesis"], "label"),
    (["review", "stars", "user"], ["review"], "stars"),
    (["words", "sentiment"], ["words"], "sentiment"),
    (["title", "body", "category"], ["body"], "category"),
    (["Nachricht", "label"], ["Nachricht"], "label"), (["a", "b"], [], None)])
def test_columns_are_told_by_their_names(header, texts, label):
    found = guessing.guess_label(header, guessing.guess_texts(header))
    assert found == label
    assert guessing.guess_texts(header, [found]) == texts


@pytest.mark.parametrize("values, regression, labels, rule", [
    (["b", "a", "b"], False, {"a": 1, "b": 2}, "words"), (["10", "9", "9"], False, {"9": 2, "10": 1}, "whole numbers"),
    ([1.0, 2, "2.0"], False, {"1": 1, "2": 2}, "whole numbers"), (["0.5", "1"], True, {}, "1 of 2 have a fraction"),
    (list(range(21)), True, {}, "more than 20 different"), (list(range(20)), False, None, "whole numbers"),
    ([True, False], False, {"false": 1, "true": 1}, "words"), (["1", "x", "1"], False, {"1": 2, "x": 1}, "words"),
    (["a ", "a", "b", ""], False, {"a": 2, "b": 1}, ""), ([0, float("nan"), 1], False, {"0": 1, "1": 1}, "whole"),
    (["a", "NA", "a"], False, {"a": 2, "NA": 1}, "words: classes, 'NA' too: if it means that there is none"),
    (["caf\u00e9", "cafe\u0301", "tea\u200b", "tea\xa0"], False, {"caf\u00e9": 2, "tea": 2}, "words")])
def test_labels_are_classes_or_targets_by_the_rule_that_is_said(values, regression, labels, rule):
    found = guessing.labels_of(values, "x")
    assert found.is_regression == regression and rule in found.rule
    assert labels is None or list(found.counts.items()) == list(labels.items())


@pytest.mark.parametrize("values, said", [
    ([i % 300 for i in range(400)], "numbers from 0 to 299: a regression (more than 20 different whole numbers); give "
                                    "--no-regression if these are classes"),
    (range(1, 91), "numbers from 1 to 90: a regression (more than 20 different whole numbers); all are different "
                   "whole numbers, which looks like a row's number or an id: name the column of the labels by "
                   "--label-column"),
    ([0.5, *range(30)], "numbers from 0 to 29: a regression (1 of 31 have a fraction)")])
def test_what_is_taken_for_a_regression_says_the_way_out(values, said):
    assert guessing.labels_of(list(values), "x").rule == said
    assert guessing.labels_of([i % 300 for i in range(700)], "x", False).rule == "classes, as --no-regression says"
    assert guessing.labels_of([0, 40, 1, 41], "x", True).rule.endswith("(as --regression says)")


def test_rows_are_named_by_a_column_or_by_numbers_from_0(tmp_path):
    path = table(tmp_path / "r.csv", ["Nr", "text", "label"], [(f"K{i}", f"film {i}", "ab"[i % 2]) for i in range(20)])
    task = OwnFiles(Sources({"train": path}, idx="Nr"))
    assert task.said[0] == "columns: text 'text' (guessed), label 'label' (guessed), idx 'Nr'"
    assert {e.idx for split in ("train", "dev") for e in task.read(None, split)} == {f"K{i}" for i in range(20)}
    task = OwnFiles(Sources({"train": path}))
    assert task.said[0].endswith("; not read: Nr; rows are numbered from 0 in idx; a column id or idx, or --id-column, "
                                 "would be kept")
    assert {e.idx for split in ("train", "dev") for e in task.read(None, split)} == set(range(20))
    with pytest.raises(InputError, match=r"--id-column nr: .* has no such column \(did you mean Nr\?\)"):
        OwnFiles(Sources({"train": path}, idx="nr"))
    test = table(tmp_path / "t.csv", ["text"], [("a",)])
    with pytest.raises(InputError, match="--test .*t.csv: has no column 'Nr', which .*r.csv has"):
        OwnFiles(Sources({"train": path, "test": test}, idx="Nr"))


def test_the_user_decides_over_the_rule():
    assert guessing.labels_of(["1", "2"], "x", True).is_regression
    assert list(guessing.labels_of(["1.5", "2.5"], "x", False).counts) == ["1.5", "2.5"]
    with pytest.raises(InputError, match="'a' is not a number; leave out --regression"):
        guessing.labels_of(["1", "a"], "x", True)


@pytest.mark.parametrize("values, message", [
    (["a", "a"], "all 2 rows have 'a'; at least two"), ([None, ""], "no row has a value"),
    (["Good", "good"], "'Good' .1 rows. and 'good' .1 rows. differ in case only"),
    (["nan", "1.5", "nan"], "2 of 3 values are 'nan' or alike, the others are numbers; leave these rows out"),
    (["1", "0", "#N/A"], "1 of 3 values are '#N/A' or alike"), (["0.5", "inf"], "1 of 2 values are 'inf' or alike"),
    (["4", "4,5", " 0,25"], "'4,5' is a number with a decimal comma; write it with a point .4.5."),
    ([["a"], ["a", "b"]], r"\['a'\] is a list; a text has one label"), ([{"a": 1}, "b"], "is an object; a text has"),
    (["01", "1", "2"], "the labels '01' .1 rows. and '1' .1 rows. are the same number; spell them alike"),
    ([f"text {i}" for i in range(30)], "30 different values in 30 rows, which are no classes; .* --label-column")])
def test_labels_that_cannot_be_are_refused(values, message):
    with pytest.raises(InputError, match=f"^x: .*{message}"):
        guessing.labels_of(values, "x")


def test_train_is_divided_and_both_parts_are_the_whole(reviews):
    task = OwnFiles(Sources({"train": reviews}))
    train, dev = (task.read(None, split) for split in ("train", "dev"))
    assert (len(train), len(dev)) == (32, 8) and [e.label for e in dev].count("good") == 4
    assert sorted(e.idx for e in [*train, *dev]) == list(range(40))
    assert task.key == task.name == "reviews" and task.submission_name == "reviews.tsv"
    assert "labels (words: classes): bad 20, good 20" in task.said
    assert any(line.startswith("dev: 8 of 40 examples split off") and line.endswith(
        "reviews.csv by --split-seed 0; bad 4, good 4 (train: bad 16, good 16)") for line in task.said)
    other = OwnFiles(Sources({"train": reviews}, split_seed=1))
    assert [e.idx for e in other.read(None, "dev")] != [e.idx for e in dev]


def test_both_sides_are_counted_where_texts_are_there_again(tmp_path):
    rows = [(f"{label} {i % texts}", label) for label, texts in (("a", 6), ("b", 3)) for i in range(30)]
    path = table(tmp_path / "again.csv", ["text", "label"], rows)
    task = OwnFiles(Sources({"train": path}))
    train, dev = ([e.label for e in task.read(None, split)] for split in ("train", "dev"))
    # A fifth is 12, 6 of each label; a text of a is there 5 times, one of b 10 times.
    assert [dev.count(label) for label in "ab"] == [5, 10] and [train.count(label) for label in "ab"] == [25, 20]
    assert task.said[-1].endswith("; a 5, b 10 (train: a 25, b 20); equal texts are never on both "
                                  "sides: 51 examples repeat the texts of another")


def test_a_regressions_sides_are_told_by_their_means_and_many_labels_are_cut(tmp_path):
    task = OwnFiles(Sources({"train": table(tmp_path / "r.csv", ["text", "score"], [
        (f"film {i}", i + 0.5) for i in range(20)])}))
    train, dev = ([e.label for e in task.read(None, split)] for split in ("train", "dev"))
    assert task.said[-1].endswith(f"; mean target {sum(dev) / 4:.4g}, in train {sum(train) / 16:.4g}")
    rows = [(f"film {i} {j}", f"class {i:02}") for i in range(25) for j in range(4)]
    said = OwnFiles(Sources({"train": table(tmp_path / "many.csv", ["text", "label"], rows)})).said
    assert said[-1].endswith("class 18 4, class 19 4, … (25 labels)")


def test_files_of_different_kinds_go_together(reviews, tmp_path):
    dev, test = tmp_path / "dev.jsonl", tmp_path / "test.tsv"
    dev.write_text("".join(json.dumps({"text": f"other {i}", "label": "good"}) + "\n" for i in range(3)))
    test.write_text("text\nnobody knows\n")
    task = OwnFiles(Sources({"train": reviews, "dev": str(dev), "test": str(test)}, name="films"))
    assert [len(task.read(None, split)) for split in ("train", "dev", "test")] == [40, 3, 1]
    assert task.name == "films" and task.record["dev"] == "given"


@pytest.mark.parametrize("path, name", [("a/reviews.csv", "reviews"), ("reviews/train.csv", "reviews"),
                                        ("reviews/data/test.csv", "test")])
def test_the_name_comes_from_the_path(tmp_path, path, name):
    place = tmp_path / path
    place.parent.mkdir(parents=True)
    assert OwnFiles(Sources({"train": table(place, ["text", "label"], [("a", 0), ("b", 1)])})).name == name


def test_a_trained_models_labels_and_columns_hold(tmp_path):
    path = table(tmp_path / "new.csv", ["review", "text", "score"], [("a", "b", 7)])
    task = OwnFiles(Sources({"test": path}), Trained(("good", "bad"), False, ("review",)))
    assert task.labels == ["good", "bad"] and task.text_names == ("review",)
    assert task.read(None, "test")[0].texts == ("a",)
    assert task.said[-1].startswith("no labels are read, so there will be no score; if a column has them")


@pytest.mark.parametrize("sources, message", [
    ({"label": "stars"}, "--label-column stars: .*reviews.csv has no such column; found text, label"),
    ({"text": "body"}, "--text-column body: .* has no such column"),
    ({"text": "Text"}, r"has no such column \(did you mean text\?\); found text, label"),
    ({"label": "lable"}, r"--label-column lable: .* has no such column \(did you mean label\?\)"),
    ({"name": "a/b"}, "name: 'a/b' names"),
    ({"text": "text", "text_pair": "text"}, "columns: text, text_pair and label must be different ones"),
    ({"text": "label", "label": "label"}, "columns: text, text_pair and label must be different ones")])
def test_what_is_given_must_be_there(reviews, sources, message):
    with pytest.raises(InputError, match=message):
        OwnFiles(Sources({"train": reviews}, **sources))


def test_a_file_that_is_given_twice_is_said(reviews, tmp_path):
    copy = tmp_path / "dev.csv"
    copy.write_bytes(pathlib.Path(reviews).read_bytes())
    said = OwnFiles(Sources({"train": reviews, "dev": str(copy), "test": reviews})).said
    assert [line for line in said if "tell nothing of new texts" in line] == [
        f"--{a} is the file of --{b}, or a copy: its scores tell nothing of new texts"
        for a, b in (("dev", "train"), ("test", "train"), ("test", "dev"))]
    assert not any("copy" in line for line in OwnFiles(Sources({"train": reviews})).said)


def test_what_cannot_be_told_is_asked_for(tmp_path):
    path = table(tmp_path / "x.csv", ["a", "b", "c"], [(1, 2, 3)])
    with pytest.raises(InputError, match="no column whose name tells that it is the text; found a, b, c; name the "
                                         "columns by --text-column and --label-column"):
        OwnFiles(Sources({"train": path}))
    with pytest.raises(InputError, match="that it is the label; found a, b, c; name it by --label-column"):
        OwnFiles(Sources({"train": path}, text="a"))
    with pytest.raises(InputError, match="--train .*none.csv: no such file"):
        OwnFiles(Sources({"train": str(tmp_path / "none.csv")}))
    few = table(tmp_path / "few.csv", ["text", "label"], [("a", 0), ("b", 1)])
    with pytest.raises(InputError, match="2 examples are too few to split a dev set off; give --dev"):
        OwnFiles(Sources({"train": few})).read(None, "train")
    alone = table(tmp_path / "alone.csv", ["text", "label"], [(f"film {i}", f"class {i}") for i in range(12)])
    with pytest.raises(InputError, match="no dev set can be split off, as each label has one text only"):
        OwnFiles(Sources({"train": alone})).read(None, "train")


def test_files_that_do_not_go_together_are_named_with_their_option(reviews, tmp_path):
    dev = table(tmp_path / "dev.csv", ["Text", "label"], [("a", "good")])
    with pytest.raises(InputError, match=r"--dev .*dev.csv: has no column 'text' \(did you mean Text\?\), which "
                                         r".*reviews.csv has; found Text, label; name the columns alike"):
        OwnFiles(Sources({"train": reviews, "dev": dev}))
    one = table(tmp_path / "one.csv", ["Nachricht"], [("a",)])
    with pytest.raises(InputError, match="one.csv: has one column, 'Nachricht'; a column of texts and one of labels"):
        OwnFiles(Sources({"train": one}))
    with pytest.raises(InputError, match="ends in '.xlsx'; .*; save it as .csv, in pandas by to_csv"):
        OwnFiles(Sources({"train": table(tmp_path / "a.xlsx", ["text"], [])}))
    wide = table(tmp_path / "wide.csv", ["text", "label"], [("a, b", "good")])
    with pytest.raises(InputError, match=r"3 column\(s\) found, 2 expected .*; a text with a separator in it needs"):
        OwnFiles(Sources({"train": wide}))


def test_empty_texts_are_counted(tmp_path):
    rows = [(f"film {i}" if i % 5 else " ", ["bad", "good"][i % 2]) for i in range(40)]
    task = OwnFiles(Sources({"train": table(tmp_path / "e.csv", ["text", "label"], rows)}))
    for split in ("train", "dev"):
        task.read(None, split)
    said = [line for line in task.said if "8 of 40 examples have an empty text" in line]
    assert len(said) == 1


@pytest.mark.parametrize("labels, values", [
    (("-1", "1"), ["-1.0", "1.0"]), (("None", "Some"), ["none", "some"]), (("Hidden", "Open"), ["hidden", "open"]),
    (("-1", "1"), ["-1", "1"])])
def test_what_stands_for_no_label_is_one_where_a_label_is_so_spelled(tmp_path, labels, values):
    path = table(tmp_path / "test.csv", ["text", "label"], [["one", values[0]], ["two", values[1]], ["three", ""]])
    task = OwnFiles(Sources({"test": path}), Trained(labels, False, ("text",)))
    assert [example.label for example in task.read(None, "test")] == [*labels, None]


@pytest.mark.parametrize("trained, expected", [
    (("1", "0"), ["0", "1"]), (("10", "9"), ["9", "10"]), (("good", "bad"), ["good", "bad"])])
def test_which_label_f1_is_of_is_said_and_numbers_stand_in_order(tmp_path, trained, expected):
    path = table(tmp_path / "test.csv", ["text", "label"], [["one", trained[0]], ["two", trained[1]]])
    task = OwnFiles(Sources({"test": path}), Trained(trained, False, ("text",)))
    assert task.labels == expected and f"f1 is that of the label {expected[1]}" in task.said
