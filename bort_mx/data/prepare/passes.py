"""The two passes of `prepare` over all partitions and buckets; what a stopped run has finished is not done again."""

import collections
import dataclasses
import functools
import pathlib
import sys
from typing import Any, Callable, Counter, Dict, List, Optional, Sequence, Tuple

from bort_mx.data.prepare.buckets_to_shards import FEW, BucketSorter, SortSettings, bucket_name
from bort_mx.data.prepare.hold_out import choose, parse_hold_out
from bort_mx.data.prepare.near_duplicates import sign_documents, signed_name, write_near_duplicates
from bort_mx.data.prepare.parts import read_record, remove_unfinished
from bort_mx.data.prepare.plan import Partition
from bort_mx.data.prepare.text_to_buckets import EncodeSettings, PartitionEncoder
from bort_mx.data.prepare.workers import Workers
from bort_mx.progress import Progress


def first_pass(partitions: Sequence[Partition], settings: EncodeSettings, workers: Workers) -> Dict[Partition, dict]:
    """Encode all partitions; returns their records.

    Raises:
        InputError: a file cannot be read, is no text, not UTF-8, or damaged, where files have to be whole.
    """
    sizes = {partition: _bytes_on_disk(partition) for partition in partitions}
    return _all(PartitionEncoder(settings), sizes, lambda partition: partition.name, settings.folder, workers,
                "Preparing")


def leave_near_duplicates_out(partitions: Sequence[Partition], settings: EncodeSettings, threshold: float,
                              workers: Workers) -> None:
    """Sign all documents of corpora, and note which of them the first pass leaves out."""
    sizes = {partition: _bytes_on_disk(partition) for partition in partitions}
    sign = functools.partial(sign_documents, settings.folder, settings.reading, settings.base)
    records = _all(sign, sizes, signed_name, settings.folder, workers, "Comparing")
    write_near_duplicates(settings.folder, partitions, records, threshold)


def second_pass(settings: SortSettings, buckets: int, workers: Workers) -> Dict[Tuple[int, ...], dict]:
    """Sort all buckets; returns the records, by the numbers of the buckets that were sorted together."""
    items = [tuple(range(buckets))] if settings.dealt else [(bucket,) for bucket in range(buckets)]
    return _all(BucketSorter(settings), dict.fromkeys(items, 1), bucket_name, settings.folder, workers, "Shuffling")


def _all(function: Callable[[Any], dict], sizes: Dict[Any, int], name_of: Callable[[Any], str], folder: pathlib.Path,
         workers: Workers, description: str) -> Dict[Any, dict]:
    records = {item: read_record(folder, name_of(item)) for item in sizes}
    left = [item for item, record in records.items() if record is None]
    done = sum(sizes.values()) - sum(sizes[item] for item in left)
    unit = "bucket" if description == "Shuffling" else "B"
    with Progress(sum(sizes.values()), description, unit, initial=done) as progress:
        for item, record in workers.results(function, left):
            records[item] = record
            progress.update(sizes[item])
    remove_unfinished(folder)
    return records


def _bytes_on_disk(partition: Partition) -> int:
    """What the progress bar counts for a partition."""
    total = 0
    for piece in partition.pieces:
        whole = pathlib.Path(piece.path).stat().st_size
        total += ((whole if piece.stop is None else piece.stop) - piece.start) // piece.share[1]
    return total


@dataclasses.dataclass
class Passed:
    """What the two passes leave."""

    corpora: List[str]
    """In the order given."""
    by_corpus: Dict[str, Counter[str]]
    """The counts of the first pass."""
    inputs: Dict[str, dict]
    """Size, SHA-256 and reader of each file."""
    problems: List[str]
    """What was wrong with files, in the order of the plan."""
    sorted: Dict[Tuple[int, ...], dict] = dataclasses.field(default_factory=dict)
    """The records of the second pass."""

    @property
    def sentences(self) -> int:
        """That have come through the first pass."""
        return sum(counts["sentences"] for counts in self.by_corpus.values())

    def counts(self, hidden_files: int) -> Counter[str]:
        """The counts of both passes, over all corpora."""
        counts = sum(self.by_corpus.values(), collections.Counter(hidden_files=hidden_files))
        counts["duplicates"] = sum(sum(record["duplicates"].values()) for record in self.sorted.values())
        return counts


def both_passes(partitions: Sequence[Partition], settings: EncodeSettings, hold_out: Sequence[str],
                near_duplicates: Optional[float], pool: Workers) -> Passed:
    """Encode all partitions and sort all buckets. The second pass is left out where there is no sentence.

    Args:
        partitions: what to read.
        settings: how.
        hold_out: "CORPUS=NUMBER" each.
        near_duplicates: similarity from which on a document is left out; None keeps all.
        pool: who does it.
    """
    if near_duplicates is not None:
        leave_near_duplicates_out(partitions, settings, near_duplicates, pool)
    read = first_pass(partitions, settings, pool)
    passed = _summed(read)
    for problem in passed.problems:
        print(f"bort-mx prepare: {problem}; what was read before is kept", file=sys.stderr, flush=True)
    if passed.sentences:
        parts = tuple((part.name, passed.corpora.index(part.corpus)) for part in partitions)
        sorting = SortSettings(settings.folder, parts, tuple(passed.corpora), passed.sentences < FEW)
        held_out = choose(sorting, parse_hold_out(hold_out, passed.corpora), 1 << settings.bits)
        passed.sorted = second_pass(dataclasses.replace(sorting, held_out=held_out), 1 << settings.bits, pool)
    return passed


def _summed(records: Dict[Partition, dict]) -> Passed:
    """The records of the first pass, by corpus, in the order of the plan."""
    passed = Passed([], collections.defaultdict(collections.Counter), {}, [])
    for partition in sorted(records, key=lambda partition: partition.number):
        if partition.corpus not in passed.corpora:
            passed.corpora.append(partition.corpus)
        passed.by_corpus[partition.corpus].update(records[partition]["counts"])
        passed.inputs.update(records[partition]["inputs"])
        passed.problems += records[partition]["problems"]
    return passed
