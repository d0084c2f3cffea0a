"""`prepare --corpus`: every kept sentence once, in one split; the same bytes whoever does the work and whoever dies."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from prepare_runs import NOUNS, ROOT, sentences, texts, tree_hash

from bort_mx.commands.prepare import PrepareOptions, joined, main, prepare
from bort_mx.data import corpora as corpora_package
from bort_mx.data.corpora import readers
from bort_mx.data.prepare import plan, workers
from bort_mx.data.prepare.output_directory import WORK
from bort_mx.errors import InputError, RunError


@pytest.fixture
def corpora(tmp_path):
    """Files of three corpora that share sentences."""
    given = sentences(2400)
    (tmp_path / "books").mkdir()
    (tmp_path / "books/a.txt").write_text("\n".join(given[:700]))
    (tmp_path / "books/b.txt").write_text("\n".join(given[600:1200]))
    (tmp_path / "web.jsonl").write_text("".join(
        json.dumps({"text": " ".join(given[i:i + 5])}) + "\n" for i in range(1000, 2000, 5)))
    (tmp_path / "text.gz").write_bytes(gzip.compress("\n".join(given[1900:]).encode()))
    return [f"bookcorpus={tmp_path / 'books'}", f"openwebtext={tmp_path / 'web.jsonl'}",
            f"text={tmp_path / 'text.gz'}"], given


def run(tmp_path, corpora, vocabulary, name="out", **options):
    return prepare(PrepareOptions(output_dir=str(tmp_path / name), corpus=corpora, tokenizer=vocabulary,
                                  **{"workers": 1, **options}))


def test_every_kept_sentence_once_and_counts_that_add_up(tmp_path, corpora, vocabulary, capsys):
    names, given = corpora
    manifest = run(tmp_path, names, vocabulary, hold_out=["bookcorpus=50"])
    held = (tmp_path / "out/hold-out/bookcorpus.txt").read_text().splitlines()
    together = [text for found in texts(tmp_path / "out").values() for text in found]
    assert len(held) == 50 and set(held) <= set(given[:1200])
    assert sorted(together + held) == sorted(given)
    for counts in manifest["corpora"].values():
        documents, found = counts["documents"], counts["sentences"]
        assert documents["in"] == documents["kept"] + sum(documents["dropped"].values()) > 0
        assert found["in"] == found["kept"] + found["held_out"] + sum(found["dropped"].values())
    kept = {name: counts["sentences"] for name, counts in manifest["corpora"].items()}
    assert kept["bookcorpus"]["in"] == 1300 and kept["bookcorpus"]["dropped"]["duplicates"] == 100
    assert kept["openwebtext"]["dropped"]["duplicates"] == 200 and kept["text"]["dropped"]["duplicates"] == 100
    assert sum(counts["tokens"] for counts in manifest["corpora"].values()) >= sum(
        split["tokens"] for split in manifest["splits"].values())
    assert manifest["files"]["hold-out/bookcorpus.txt"]["bytes"] == sum(len(line) + 1 for line in held)


def test_workers_dask_and_small_partitions_do_not_change_a_byte(tmp_path, corpora, vocabulary, monkeypatch):
    names, _ = corpora
    run(tmp_path, names, vocabulary, "one")
    run(tmp_path, names, vocabulary, "two", workers=2)
    pytest.importorskip("distributed")
    run(tmp_path, names, vocabulary, "dask", workers=2, scheduler="local")
    first = tree_hash(tmp_path / "one")
    assert tree_hash(tmp_path / "two") == first and tree_hash(tmp_path / "dask") == first
    monkeypatch.setattr(plan, "LEAST", 3000)
    monkeypatch.setattr(readers, "RECORD", 3000)
    monkeypatch.setattr("bort_mx.data.prepare.buckets.BUCKET", 10_000)
    cut = plan.partitions(plan.list_inputs([], names)[0], "auto", "text")
    assert len(cut) > 20
    run(tmp_path, names, vocabulary, "cut")
    assert {**tree_hash(tmp_path / "cut"), "manifest.json": ""} == {**first, "manifest.json": ""}


def test_a_run_killed_twice_goes_on_to_the_same_bytes(tmp_path, vocabulary):
    (tmp_path / "in").mkdir()
    for number in range(12):  # a partition each: they do not fit into one together
        (tmp_path / f"in/{number}.jsonl").write_text("".join(
            json.dumps({"text": text}) + "\n" for text in sentences(8000, number)))
    code = ("import sys; from bort_mx.commands.prepare import main; from bort_mx.data.prepare import plan; "
            "plan.LEAST = 1000; sys.exit(main(sys.argv[1:]))")
    command = [sys.executable, "-c", code, "--corpus", f"openwebtext={tmp_path / 'in'}", "--tokenizer", vocabulary,
               "--workers", "1", "--output-dir"]
    subprocess.run([*command, str(tmp_path / "whole")], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    parts = tmp_path / "out" / WORK / "parts"
    before = set()
    for kills in range(2):
        process = subprocess.Popen([*command, str(tmp_path / "out")], cwd=ROOT, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(set(parts.glob("part-*.json")) - before) < 3:
            time.sleep(0.005)
        process.kill()
        process.wait()
        done = set(parts.glob("part-*.json"))
        assert len(done) > len(before) and not (tmp_path / "out/manifest.json").exists(), kills
        before = done
    times = {path.name: path.stat().st_mtime_ns for path in before}
    shown = subprocess.run([*command, str(tmp_path / "out")], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "going on with what is finished" in shown.stdout and times
    assert tree_hash(tmp_path / "out") == tree_hash(tmp_path / "whole")


class DiesOnce:
    """A task whose process is killed the first time."""

    def __init__(self, folder, times=1):
        self.folder, self.times = folder, times

    def __call__(self, item):
        """The square of the item."""
        marks = len(list(self.folder.glob(f"{item}-*")))
        (self.folder / f"{item}-{marks}").touch()
        if item == 3 and marks < self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item


@pytest.mark.parametrize("scheduler", ["", "local"])
def test_the_task_of_a_dead_worker_is_done_again(tmp_path, scheduler):
    if scheduler:
        pytest.importorskip("distributed")
    with workers.Workers(scheduler, 2) as pool:
        assert dict(pool.results(DiesOnce(tmp_path), range(6))) == {i: i * i for i in range(6)}
    assert len(list(tmp_path.glob("3-*"))) == 2


@pytest.mark.parametrize("scheduler, message", [
    ("", "worker processes died 3 times"), ("local", "Dask's workers died 3 times")])
def test_a_task_that_kills_every_worker_ends_the_run(tmp_path, scheduler, message):
    if scheduler:
        pytest.importorskip("distributed")
    with workers.Workers(scheduler, 2) as pool, pytest.raises(RunError, match=message):
        dict(pool.results(DiesOnce(tmp_path, 9), [3, 3, 3]))


def test_a_scheduler_and_workers_that_are_programs_of_their_own(tmp_path, corpora, vocabulary, monkeypatch):
    """Two workers, in another folder; one is killed."""
    pytest.importorskip("distributed")
    names = [name.replace(f"{tmp_path}/", "") for name in corpora[0]]
    monkeypatch.chdir(tmp_path)
    run(tmp_path, names, vocabulary, "one")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
             "--no-dashboard", "--scheduler-file", str(tmp_path / "scheduler.json")]
    programs = [subprocess.Popen(start, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)]
    try:
        while not (tmp_path / "scheduler.json").exists() or not (tmp_path / "scheduler.json").read_text().endswith("}"):
            time.sleep(0.05)
        for _ in range(2):
            programs.append(subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file",
                 str(tmp_path / "scheduler.json"), "--nthreads", "1", "--no-nanny", "--no-dashboard"],
                env=environment, cwd="/", stderr=subprocess.DEVNULL))
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        run(tmp_path, names, vocabulary, "cluster", scheduler=address)
        programs[1].kill()
        run(tmp_path, names, vocabulary, "after", scheduler=address)
    finally:
        for program in reversed(programs):
            program.kill()
            program.wait()
    assert tree_hash(tmp_path / "cluster") == tree_hash(tmp_path / "one") == tree_hash(tmp_path / "after")


def test_damage_is_told_and_strict_stops(tmp_path, corpora, vocabulary, capsys):
    names, given = corpora
    whole = gzip.compress("\n".join(given).encode())
    (tmp_path / "cut.gz").write_bytes(whole[:len(whole) // 2])
    words = [*(word for name in names for word in ("--corpus", name)), "--corpus", f"text={tmp_path / 'cut.gz'}",
             "--tokenizer", vocabulary, "--workers", "1", "--output-dir", str(tmp_path / "out")]
    assert main(words) == 0
    told = capsys.readouterr()
    assert f"{tmp_path / 'cut.gz'}: truncated gzip" in told.err and "what was read before is kept" in told.err
    assert "documents in" in told.out and "bookcorpus, dropped: sentences: 100 duplicates" in told.out
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert len(manifest["problems"]) == 1 and "truncated gzip" in manifest["problems"][0]
    assert main([*words[:-1], str(tmp_path / "strict"), "--strict"]) == 2
    assert "truncated gzip" in capsys.readouterr().err and not (tmp_path / "strict").exists()


@pytest.mark.parametrize("words, message", [
    (["--corpus", "wikipedia"], "--corpus wikipedia: expected NAME=PATH"),
    (["--corpus", "wikipedla=x"], "--corpus wikipedla=x: no corpus 'wikipedla'; there are wikipedia,"),
    (["--corpus", "text=nowhere"], "nowhere: no such file or folder"),
    (["--corpus", "text=x", "--hold-out", "bookcorpus=3"], "'bookcorpus' is not among the corpora"),
    (["--corpus", "text=x", "--hold-out", "text=many"], "--hold-out text=many: expected CORPUS=NUMBER"),
    (["--corpus", "text=x", "--from", "yesterday"], "--from-date yesterday: must be YYYY-MM"), ([], "--data: give"),
    (["--corpus", "text=x", "--from", "2017-01"], "--from and --to are dates of CC-News; give it by --corpus cc_news="),
    (["--data", "x", "--near-duplicates", "0.8"], "--near-duplicates 0.8: compares the documents of corpora")])
def test_bad_options_are_named(tmp_path, capsys, words, message):
    assert main([*words, "--tokenizer", "x", "--output-dir", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_holding_out_more_than_there_is(tmp_path, corpora, vocabulary):
    with pytest.raises(InputError, match="bookcorpus=1200: the corpus has 1,200 different sentences; hold out fewer"):
        run(tmp_path, corpora[0], vocabulary, hold_out=["bookcorpus=1200"])


def test_repeated_options_are_joined():
    given = ["--corpus", "a=1", "--seed", "3", "--corpus", "b=2", "c=3", "--from", "2016-09", "--to=2017-01"]
    assert joined(given) == [
        "--corpus", "a=1", "b=2", "c=3", "--seed", "3", "--from-date", "2016-09", "--to-date=2017-01"]
    assert joined(["--corpus=a=1", "--strict", "--corpus=b=2"]) == ["--corpus", "a=1", "b=2", "--strict"]


@pytest.mark.parametrize("absent, corpus, words", [
    ("distributed", "text", ["--scheduler", "local"]), ("rensa", "text", ["--near-duplicates", "0.8"]),
    ("py3langid", "cc_news", []), ("fastwarc.warc", "cc_news", []), ("trafilatura", "cc_news", [])])
def test_a_library_that_is_absent_is_named_with_its_extra(tmp_path, vocabulary, monkeypatch, capsys, absent, corpus,
                                                          words):
    text = "The people of the town met again on Monday evening, " * 5
    (tmp_path / "text").write_text(json.dumps({"text": text, "date": "2017-01-01"}) if absent == "py3langid" else
                                   f"WARC/1.0\r\n{text}")
    if corpus == "cc_news":
        for name in ("warc_records", "web_pages"):  # as if they had not been imported
            module = pytest.importorskip(f"bort_mx.data.corpora.{name}")
            monkeypatch.setattr(corpora_package, name, module)
            monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setitem(sys.modules, absent, None)
    assert main(["--corpus", f"{corpus}={tmp_path / 'text'}", "--tokenizer", vocabulary, "--workers", "1", *words,
                 "--output-dir", str(tmp_path / "out")]) == 2
    assert re.search(r"not installed; pip install 'bort-mx\[corpora\]'", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, corpora, vocabulary):
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match="--scheduler http:.*: no scheduler of Dask answers there"):
        run(tmp_path, corpora[0], vocabulary, scheduler="http://127.0.0.1:1")


def test_a_corpus_is_one_line_in_the_table(tmp_path, vocabulary, monkeypatch):
    def documents(source):
        for chunk in source.chunks():
            source.take()
            yield source.keep(chunk.decode().replace("|", "\n"))

    monkeypatch.setitem(readers.CORPORA, "bars", readers.Corpus(documents, 1.0))
    (tmp_path / "a").write_text("One is here.|Two is here.|Three is here.")
    run(tmp_path, [f"bars={tmp_path / 'a'}"], vocabulary)
    assert sorted(sum(texts(tmp_path / "out").values(), [])) == ["One is here.", "Three is here.", "Two is here."]


def test_a_vocabulary_is_trained_on_corpora(tmp_path, corpora):
    manifest = prepare(PrepareOptions(output_dir=str(tmp_path / "out"), corpus=corpora[0], train_vocab=400, workers=1))
    assert manifest["counts"]["unknown_tokens"] == 0 and manifest["vocabulary"]["size"] == 400


def test_orphaned_workers_end(tmp_path):
    code = ("import time, sys; from bort_mx.data.prepare.workers import Workers\nif __name__ == '__main__':\n"
            "    with Workers('', 2) as pool: list(pool.results(time.sleep, [60, 60]))\n")
    (tmp_path / "program.py").write_text(code)
    process = subprocess.Popen([sys.executable, str(tmp_path / "program.py")], env={**os.environ,
                                                                                    "PYTHONPATH": str(ROOT)})
    while len(psutil.Process(process.pid).children()) < 3:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    assert not psutil.wait_procs(children, timeout=20)[1]


def test_near_duplicates_are_left_out_whoever_looks(tmp_path, vocabulary, monkeypatch):
    """A copy with one word in thirty replaced goes; one with every third replaced stays."""
    pytest.importorskip("rensa")
    rng = random.Random(3)
    given = [[rng.choice(NOUNS) + str(rng.randrange(3000)) for _ in range(120)] for _ in range(60)]
    near = [[word if place % 30 else "other" for place, word in enumerate(words)] for words in given[:20]]
    far = [[word if place % 3 else "other" for place, word in enumerate(words)] for words in given[20:40]]
    for name, documents in (("a", given), ("b", near), ("c", far)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": " ".join(words) + "."}) + "\n"
                                                        for words in documents))
    names = [f"openwebtext={tmp_path / name}.jsonl" for name in "abc"]
    manifest = run(tmp_path, names, vocabulary, near_duplicates=0.7)
    assert manifest["corpora"]["openwebtext"]["documents"] == {
        "in": 100, "kept": 80, "dropped": {"near_duplicate": 20}}
    expected = {" ".join(words) + "." for words in given + far}
    assert set(sum(texts(tmp_path / "out").values(), [])) == expected
    monkeypatch.setattr(plan, "LEAST", 1000)
    run(tmp_path, names, vocabulary, "cut", near_duplicates=0.7)
    assert tree_hash(tmp_path / "cut") == tree_hash(tmp_path / "out")
    assert run(tmp_path, names, vocabulary, "all")["corpora"]["openwebtext"]["documents"]["kept"] == 100
