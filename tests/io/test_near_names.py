"""Of a path where nothing stands, near names of its folder are told, wherever files are opened."""

import pytest

from bort_mx.cli import main
from bort_mx.data.corpora.text_files import list_files
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.near_names import missing


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("anfragen.csv", "Antworten.csv", "shards", ".anfrage.csv.swp"):
        (tmp_path / "mine" / name).touch()
    return tmp_path


@pytest.mark.parametrize("path, said", [
    ("mine/anfrage.csv", "mine/anfrage.csv: no such file (did you mean mine/anfragen.csv?)"),
    ("mine/antworten.CSV", "mine/antworten.CSV: no such file (did you mean mine/Antworten.csv?)"),
    ("mine/zzz", "mine/zzz: no such file"),
    ("mein/anfragen.csv", "mein/anfragen.csv: no such file (there is no folder mein; did you mean mine?)"),
    ("elsewhere/a/b", "elsewhere/a/b: no such file (there is no folder elsewhere)"),
    ("mine/anfragen.csv/x", "mine/anfragen.csv/x: no such file (mine/anfragen.csv is no folder)"),
])
def test_the_nearest_names_of_the_folder_are_told(mine, path, said):
    assert missing(path) == said


def test_readers_tell_them(mine):
    for read in (files.read_text, files.read_json, files.read_yaml):
        with pytest.raises(InputError, match=r"^mine/anfrage.csv: no such file \(did you mean mine/anfragen.csv\?\)$"):
            read("mine/anfrage.csv")
    with pytest.raises(InputError, match=r"mine/shard: no such file or folder \(did you mean mine/shards\?\)"):
        list_files(["mine/shard"])


@pytest.mark.parametrize("command", [
    ["finetune", "--checkpoint", "fresh", "--train", "mine/anfrage.csv", "--output-dir", "out"],
    ["predict", "--checkpoint", "./mine", "--classify", "mine/anfrage.csv"],
    ["prepare", "--data", "mine/anfrage.csv", "--train-vocab", "300", "--output-dir", "out"],
    ["pretrain", "--data", "mine/anfrage.csv", "--train-vocab", "300", "--output-dir", "out"],
    ["pretrain", "--config", "mine/anfrage.csv", "--output-dir", "out"],
    ["pretrain", "--init", "./mine/anfrage.csv", "--data", "mine", "--output-dir", "out"],
    ["search", "--space", "mine/anfrage.csv", "--data", "mine", "--teacher", "mine", "--output-dir", "out"],
])
def test_commands_tell_them(mine, capfd, command):
    assert main(command) == 2
    said = capfd.readouterr().err
    assert "mine/anfragen.csv?" in said and said.count("\n") == 1
