"""JSON with a field given twice: two values are refused with their place, in every kind of file."""

import json

import numpy as np
import pytest
import safetensors.numpy

from bort_mx.checkpoints import load
from bort_mx.data.corpora.json_texts import json_object as corpus_object
from bort_mx.data.corpora.text_columns import texts_of_column
from bort_mx.data.json_lines import read_json_lines
from bort_mx.errors import InputError
from bort_mx.io import files, strict_json


@pytest.mark.parametrize("text, line, column, field", [
    ('{"a": 1, "a": 2}', 1, 10, "a"),
    ('{"a": 1,\n "b": {"a": 2},\n "a": 3}', 3, 2, "a"),
    ('[{"b": [{}, {"c": "\\"c\\": {",\n\n  "c" : "x"}]}]', 3, 3, "c"),
    ('{"ab": 1, "a\\u0062": 2}', 1, 11, "ab"),
    ('{"a": 1, "a": true}', 1, 10, "a"),  # 1 == True in Python
    ('{"d": 1, "d": 1, "d": [1]}', 1, 18, "d")])
def test_a_field_with_two_values_is_refused_at_the_second(tmp_path, text, line, column, field):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        files.read_json(path)
    assert str(caught.value).startswith(f"{path}:{line}: the field {field!r} is given a second time at column "
                                        f"{column}, with another value (")
    assert json.loads(text) != []  # Python takes the last one


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '{"a": NaN, "a": NaN}', '{"a": {"x": 1}, "b": {"x": 2}}',
                                  '[{"x": 1}, {"x": 2}]', '{"a": "\\"a\\": 1", "b": "a"}', '{"": {}, "a": {"": 1}}'])
def test_what_says_one_thing_is_read_as_python_reads_it(text):
    assert json.dumps(strict_json.loads(text)) == json.dumps(json.loads(text))


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2', '{"a": 1, "a": [{"q": 1, "q": 2}, no', "{", ""])
def test_broken_json_is_broken_json(text):
    with pytest.raises(json.JSONDecodeError) as caught:
        strict_json.loads(text)
    assert strict_json.reason(caught.value).startswith("not JSON at column ")


TWICE = '{"text": "one", "text": "two"}'


def test_every_reader_of_records_refuses_it(tmp_path):
    lines, whole = tmp_path / "lines.jsonl", tmp_path / "list.json"
    lines.write_text('{"text": "one"}\n' + TWICE + "\n")
    whole.write_text('[{"text": "one"},\n' + TWICE + "]\n")
    for path, read in ((lines, read_json_lines), (whole, read_json_lines),
                       (lines, lambda path: texts_of_column(path, "JSON lines", [path.read_bytes()], "text"))):
        with pytest.raises(InputError, match=r"lines.jsonl:2: the field 'text'|list.json:2: the field 'text'"):
            list(read(path))


class Source:
    """What a corpus reader needs of bort_mx.data.corpora.source.Source."""

    dropped = ()

    def decode(self, data):
        return data.decode()

    def drop(self, reason):
        self.dropped += (reason,)


def test_corpora_count_such_a_document_as_broken():
    source = Source()
    assert corpus_object(source, TWICE.encode()) is None and source.dropped == ("broken_json",)


def test_a_models_config_with_two_depths_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert",\n "num_hidden_layers": 2,\n "num_hidden_layers": 4}')
    safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="config.json:3: the field 'num_hidden_layers' is given a second time"):
        load(tmp_path)
