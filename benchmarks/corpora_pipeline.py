"""Speed, stages and memory of `prepare` on plain text: python benchmarks/corpora_pipeline.py QUESTION TEXT.

Rules and results: docs/experiments/corpora.md. The text is a real file, plain or .gz; for `plain` and `memory` it is
repeated to the size asked for, a tenth of its words drawn anew. Each subcommand prints one JSON object a line.
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import psutil
from corpora import read_lines, say
from prepare import perturbed, run_bare, run_prepare

from bort_mx.data.corpora.source import Reading


def plain(options: argparse.Namespace) -> None:
    """The pipeline on plain text beside encode_batch and GluonNLP's tokenizer, in turn, in one run."""
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder, "text.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.writelines(perturbed(read_lines(options.files[0]), options.megabytes * 1_000_000))
        size = text.stat().st_size / 1e6
        for _ in range(options.rounds):
            bare, bare_cpu = run_bare(text, options.tokenizer)
            whole, whole_cpu, peak = run_prepare(text, options.tokenizer, pathlib.Path(folder, "out"))
            released, released_cpu = gluonnlp_speed(text, options.tokenizer, 40)
            say(question="plain", mb=round(size, 1), encode_batch_mb_s=round(size / bare, 2),
                encode_batch_mb_per_cpu_s=round(size / bare_cpu, 2), prepare_mb_s=round(size / whole, 2),
                gluonnlp_mb_s=round(released, 3), gluonnlp_mb_per_cpu_s=round(released_cpu, 3),
                of_encode_batch=round(bare / whole, 2), of_encode_batch_cpu=round(bare_cpu / whole_cpu, 2),
                times_gluonnlp=round(size / whole / released, 1), peak_mib=round(peak / 2**20))


def gluonnlp_speed(text: pathlib.Path, vocabulary: str, megabytes: float) -> Tuple[float, float]:
    """MB a second, on the clock and of a processor, of GluonNLP's GPT2BPETokenizer, with the ids of its tokens.

    It is given merges.txt, as the file that its own loader wants may be gone. It remembers words too, so a long
    text is read faster than a short one.
    """
    import regex
    from gluonnlp.data import GPT2BPETokenizer
    from gluonnlp.data.transforms import _GPT2BPE

    tokenizer = GPT2BPETokenizer.__new__(GPT2BPETokenizer)
    _GPT2BPE.__init__(tokenizer)
    tokenizer._regex, tokenizer._cache = regex, {}
    tokenizer._read_bpe_ranks(f"{vocabulary}/merges.txt")
    tokenizer._token_pattern = regex.compile(
        r"\'s|\'t|\'re|\'ve|\'m|\'ll|\'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    ids = json.loads(pathlib.Path(vocabulary, "vocab.json").read_text(encoding="utf-8"))
    with open(text, encoding="utf-8") as file:
        given = file.read(int(megabytes * 1e6)).split("\n")
    begin, cpu = time.perf_counter(), time.process_time()
    for line in given:
        for token in tokenizer(line):
            ids[token]
    size = sum(len(line.encode()) + 1 for line in given) / 1e6
    return size / (time.perf_counter() - begin), size / (time.process_time() - cpu)


def stages(options: argparse.Namespace) -> None:
    """Processor seconds of each stage on a text, one process, and the bytes on the disk between the passes."""
    from bort_mx.data.prepare.buckets import bucket_bits
    from bort_mx.data.prepare.buckets_to_shards import BucketSorter, SortSettings, write_shards
    from bort_mx.data.prepare.parts import PartWriter
    from bort_mx.data.prepare.text_to_buckets import EncodeSettings, SentenceEncoder
    from bort_mx.data.text import clean_sentences

    text = "\n".join(read_lines(options.files[0]))[:options.megabytes * 1_000_000] + "\n"
    size, seconds = len(text.encode()) / 1e6, {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        bits = bucket_bits(int(size * 1e6))
        encoder = SentenceEncoder(EncodeSettings(folder, pathlib.Path(options.tokenizer), "", 0, 1, bits, "", "",
                                                 Reading()))
        sentences = timed_into(seconds, "clean and split", lambda: clean_sentences(text, True)[0])
        hashes = timed_into(seconds, "hash", lambda: encoder._hashes(sentences))
        lengths, ids = timed_into(seconds, "tokenise", lambda: encoder._encode(sentences))
        chunks = timed_into(seconds, "into buckets", lambda: list(encoder._chunks(hashes, lengths, ids)))
        with PartWriter(folder, "part-00000") as writer:
            held = {bucket: [data] for bucket, data in chunks}
            timed_into(seconds, "write the part", lambda: (writer.write_run(held, 1 << bits),
                                                           writer.finish({}, 1 << bits)))
        sorter = BucketSorter(SortSettings(folder, (("part-00000", 0),), ("text",), False))
        records = timed_into(seconds, "sort and split", lambda: {
            (bucket,): sorter((bucket,)) for bucket in range(1 << bits)})
        timed_into(seconds, "write shards", lambda: write_shards(folder, folder, records, 64_000_000))
        disk = {kind: round(sum(path.stat().st_size for path in folder.glob(f"{kind}*")) / 1e6 / size, 3)
                for kind in ("part-", "sorted-")}
        shards = sum(path.stat().st_size for path in folder.rglob("shard-*")) / 1e6 / size
    say(question="stages", mb=round(size, 1), sentences=len(sentences), tokens=int(lengths.sum()),
        mb_per_cpu_s={name: round(size / value, 1) for name, value in seconds.items()},
        disk_per_text={**disk, "shards": round(shards, 3)})


def timed_into(seconds: Dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """The result of some work; its processor seconds go into `seconds`."""
    begin = time.process_time()
    result = work()
    seconds[name] = time.process_time() - begin
    return result


def memory(options: argparse.Namespace) -> None:
    """Most memory of each process of `prepare`, on generated text of several sizes."""
    for megabytes in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            text = pathlib.Path(folder, "text.txt")
            with open(text, "w", encoding="utf-8") as file:
                file.writelines(perturbed(read_lines(options.files[0]), megabytes * 1_000_000))
            begin = time.perf_counter()
            command = [sys.executable, "-m", "bort_mx", "prepare", "--corpus", f"text={text}", "--workers", "2",
                       "--tokenizer", options.tokenizer, "--output-dir", f"{folder}/out"]
            process = psutil.Popen(command, stdout=subprocess.DEVNULL)
            peaks: Dict[int, int] = {}
            while process.poll() is None:
                for one in [process, *process.children(recursive=True)]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        peaks[one.pid] = max(peaks.get(one.pid, 0), one.memory_info().rss)
                time.sleep(0.1)
            say(question="memory", mb=megabytes, seconds=round(time.perf_counter() - begin, 1),
                peak_mib_of_each_process=sorted((round(peak / 2**20) for peak in peaks.values()), reverse=True)[:4])


QUESTIONS = {"plain": plain, "stages": stages, "memory": memory}


def main(argv: Optional[List[str]] = None) -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("files", nargs=1)
    parser.add_argument("--tokenizer", required=True, help="directory with vocab.json and merges.txt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 4000], help="megabytes")
    options = parser.parse_args(argv)
    QUESTIONS[options.question](options)


if __name__ == "__main__":
    main()
