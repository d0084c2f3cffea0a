"""Speed and quality of the corpora's readers, beside other programs: python benchmarks/corpora.py QUESTION FILES…

Rules and results: docs/experiments/corpora.md. Each subcommand prints one JSON object a line. `cpu_s` are processor
seconds of the work itself; libraries are loaded before. What is compared runs in turn, `--rounds` times, and the median
counts. Programs that are no requirement of bort_mx (wikiextractor, news-please, sacremoses, datasketch, warcio) are
skipped where they are not installed; `--python` names an interpreter that has wikiextractor and news-please.
"""

import argparse
import functools
import gzip
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import psutil

from bort_mx.data.corpora.readers import CORPORA
from bort_mx.data.corpora.source import Piece, Source

MARKUP = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{\||\|-|<ref|</?[a-zA-Z][^<>]*>|&(?:[a-z]{2,8}|#\d+);")
NEWS_PLEASE = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
from newsplease import NewsPlease
pages = json.load(open(sys.argv[1]))
found, begin = {}, time.process_time()
for name, html in pages.items():
    try:
        found[name] = NewsPlease.from_html(html, url="http://example.com/a").maintext or ""
    except Exception:
        found[name] = ""
json.dump([time.process_time() - begin, found], open(sys.argv[2], "w"))
"""


def say(**values: Any) -> None:
    """One line of results."""
    print(json.dumps(values), flush=True)


def median_seconds(work: Callable[[], Any], rounds: int) -> Tuple[float, List[float], Any]:
    """Median and all processor seconds of some rounds, and the last result."""
    seconds, result = [], None
    for _ in range(rounds):
        begin = time.process_time()
        result = work()
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds), [round(value, 3) for value in seconds], result


def documents_of(corpus: str, path: str) -> List[str]:
    """Documents that a reader gives."""
    return [text for text in CORPORA[corpus].documents(Source(Piece(path))) if text.strip()]


def readers(options: argparse.Namespace) -> None:
    """MB of text a second of each reader: CORPUS=FILE …"""
    for entry in options.files:
        corpus, _, path = entry.partition("=")
        seconds, all_seconds, _ = median_seconds(functools.partial(documents_of, corpus, path), options.rounds)
        source = Source(Piece(path))
        documents = sum(1 for _ in CORPORA[corpus].documents(source))
        say(question="readers", corpus=corpus, mb=source.counts["bytes_in"] / 1e6, documents=documents,
            mb_per_cpu_s=round(source.counts["bytes_in"] / 1e6 / seconds, 2), cpu_s=all_seconds)


def wikipedia(options: argparse.Namespace) -> None:
    """Our reader and wikiextractor on the same dump: seconds from start to exit of a process, and markup left."""
    path = options.files[0]
    with tempfile.TemporaryDirectory() as folder:
        ours = [sys.executable, "-c", "import sys\nfrom bort_mx.data.corpora.readers import CORPORA\n"
                "from bort_mx.data.corpora.source import Piece, Source\nwith open(sys.argv[2], 'w') as file:\n"
                "    for text in CORPORA['wikipedia'].documents(Source(Piece(sys.argv[1]))):\n        "
                "print(text, file=file)",
                path, f"{folder}/ours.txt"]
        theirs = [options.python, "-m", "wikiextractor.WikiExtractor", "--processes", "1", "--json", "-q", "-o",
                  f"{folder}/theirs", path]
        for _ in range(options.rounds):
            for name, command in (("bort_mx", ours), ("wikiextractor", theirs)):
                wall, cpu = timed(command)
                say(question="wikipedia", program=name, wall_s=wall, cpu_s=cpu)
        lines = pathlib.Path(folder, "ours.txt").read_text(encoding="utf-8").split("\n")
        say(question="wikipedia", program="bort_mx", **markup(lines))
        texts = [json.loads(line)["text"] for file in sorted(pathlib.Path(folder, "theirs").rglob("wiki_*"))
                 for line in file.read_text(encoding="utf-8").splitlines()]
        say(question="wikipedia", program="wikiextractor", **markup("\n".join(texts).split("\n")))


def markup(lines: Iterable[str]) -> Dict[str, int]:
    """Lines, words, and lines with markup in them."""
    lines = [line for line in lines if line.strip()]
    return {"lines": len(lines), "words": sum(len(line.split()) for line in lines),
            "lines_with_markup": sum(bool(MARKUP.search(line)) for line in lines)}


def timed(command: List[str]) -> Tuple[float, float]:
    """Seconds of a program on the clock, and of all its processors."""
    begin, cpu = time.perf_counter(), 0.0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            times = process.cpu_times()
            cpu = max(cpu, times.user + times.system + sum(
                sum(child.cpu_times()[:2]) for child in process.children(recursive=True)))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            pass
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with exit code {process.returncode}")
    return round(time.perf_counter() - begin, 2), round(cpu, 2)


def pages(options: argparse.Namespace) -> None:
    """F1 over passages and pages a second: the folder with pages.tar.gz and gold.json."""
    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text

    from bort_mx.data.corpora.web_pages import text_of

    folder = pathlib.Path(options.files[0])
    with tarfile.open(folder / "pages.tar.gz") as archive:
        html = {entry.name: archive.extractfile(entry).read().decode("utf-8") for entry in archive if entry.isfile()}
    gold = json.loads((folder / "gold.json").read_text(encoding="utf-8"))
    programs = {
        "bort_mx": text_of, "trafilatura, default": trafilatura.extract,
        "trafilatura, fast": lambda page: trafilatura.extract(page, fast=True),
        "resiliparse, main content": lambda page: extract_plain_text(page, main_content=True, alt_texts=False)}
    for name, extract in programs.items():
        seconds, all_seconds, found = median_seconds(functools.partial(extracted, extract, html), options.rounds)
        say(question="pages", program=name, pages_per_cpu_s=round(len(html) / seconds, 1), cpu_s=all_seconds,
            **passages(gold, found))
    with tempfile.TemporaryDirectory() as temporary:
        given, got = f"{temporary}/in.json", f"{temporary}/out.json"
        pathlib.Path(given).write_text(json.dumps(html), encoding="utf-8")
        if subprocess.run([options.python, "-c", NEWS_PLEASE, given, got], stderr=subprocess.DEVNULL).returncode == 0:
            seconds, found = json.loads(pathlib.Path(got).read_text(encoding="utf-8"))
            say(question="pages", program="news-please", pages_per_cpu_s=round(len(html) / seconds, 1),
                **passages(gold, found))


def extracted(extract: Callable[[str], Optional[str]], html: Dict[str, str]) -> Dict[str, str]:
    """The text of each page."""
    return {page: extract(text) or "" for page, text in html.items()}


def passages(gold: Dict[str, dict], found: Dict[str, str]) -> Dict[str, float]:
    """Precision, recall and F1 over passages that belong to a page's text and that do not."""
    right = sum(text in found[page] for page, one in gold.items() for text in one["with"])
    missed = sum(text not in found[page] for page, one in gold.items() for text in one["with"])
    wrong = sum(text in found[page] for page, one in gold.items() for text in one["without"])
    precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
    return {"precision": round(precision, 3), "recall": round(recall, 3),
            "f1": round(2 * precision * recall / max(1e-9, precision + recall), 3)}


def detokenizing(options: argparse.Namespace) -> None:
    """Sentences of a text, tokenised by sacremoses and joined again: the share that comes back, and MB a second."""
    from sacremoses import MosesDetokenizer, MosesTokenizer

    from bort_mx.data.corpora.detokenizing import detokenize
    from bort_mx.data.text import split_sentences

    given = split_sentences(read_lines(options.files[0])[:600])[:5000]
    given = [" ".join(text.split()) for text in given if text.isascii()]
    moses, joiner = MosesTokenizer("en"), MosesDetokenizer("en")
    tokenised = [" ".join(moses.tokenize(text, escape=False)) for text in given]
    size = sum(map(len, tokenised)) / 1e6
    for name, join in (("bort_mx", detokenize), ("sacremoses", lambda text: joiner.detokenize(text.split()))):
        seconds, all_seconds, found = median_seconds(functools.partial(list_of, join, tokenised), options.rounds)
        say(question="detokenizing", program=name, sentences=len(given), mb_per_cpu_s=round(size / seconds, 2),
            cpu_s=all_seconds, equal=round(sum(a == b for a, b in zip(given, found)) / len(given), 4))


def list_of(join: Callable[[str], str], texts: List[str]) -> List[str]:
    """All texts, joined."""
    return [join(text) for text in texts]


def near(options: argparse.Namespace) -> None:
    """Documents of a text, a tenth of them copied with words replaced: F1 of what is found, and seconds."""
    import numpy as np

    from bort_mx.data.prepare.near_duplicates import BANDS, MINIMA, SHINGLE, _similar, signature

    rng = random.Random(1)
    given = [text.split() for text in read_lines(options.files[0])[:options.documents]]
    vocabulary = [word for words in given[:200] for word in words]
    copies = {}
    for number in rng.sample(range(len(given)), len(given) // 10):
        copy = [rng.choice(vocabulary) if rng.random() < 0.03 else word for word in given[number]]
        copies[len(given) + len(copies)] = copy
    documents = [" ".join(words) for words in [*given, *copies.values()]]

    def ours() -> set:
        """Numbers of the documents that are left out here."""
        rows = np.array([np.concatenate([[0], signature(text)]) for text in documents], "<u4")
        return _similar([rows], np.array([len(rows)]), 0.7)

    def theirs() -> set:
        """The same by datasketch."""
        from datasketch import MinHash, MinHashLSH

        index, dropped = MinHashLSH(threshold=0.7, num_perm=MINIMA), set()
        for number, text in enumerate(documents):
            words, one = text.lower().split(), MinHash(MINIMA)
            one.update_batch([" ".join(words[i:i + SHINGLE]).encode() for i in range(len(words) - SHINGLE + 1)])
            if any(one.jaccard(index_of[key]) >= 0.7 for key in index.query(one)):
                dropped.add(number)
            else:
                index_of[number] = one
                index.insert(number, one)
        return dropped

    for name, work in (("bort_mx (rensa)", ours), ("datasketch", theirs)):
        index_of: Dict[int, Any] = {}
        seconds, all_seconds, found = median_seconds(work, 1)
        right = len(found & set(copies))
        say(question="near", program=name, documents=len(documents), copies=len(copies), bands=BANDS, cpu_s=all_seconds,
            precision=round(right / max(1, len(found)), 4), recall=round(right / len(copies), 4),
            f1=round(2 * right / (len(found) + len(copies)), 4), documents_per_cpu_s=round(len(documents) / seconds))


def read_lines(path: str) -> List[str]:
    """Lines of a text, plain or .gz."""
    data = pathlib.Path(path).read_bytes()
    return (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8").splitlines()


QUESTIONS = {"readers": readers, "wikipedia": wikipedia, "pages": pages, "detokenizing": detokenizing, "near": near}


def main(argv: Optional[List[str]] = None) -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--python", default=sys.executable, help="interpreter with wikiextractor and news-please")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=5000)
    options = parser.parse_args(argv)
    QUESTIONS[options.question](options)


if __name__ == "__main__":
    main()
