"""The folder of token shards that a run trains on: given as it is, or prepared from text first."""

import os
import pathlib
import re
import subprocess
import sys
from typing import Dict, Optional, Sequence, Tuple

from bort_mx import runtime
from bort_mx.data import sample_text
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.distributed import Workers
from bort_mx.errors import BAD_INPUT, DONE, InputError, RunError
from bort_mx.io import files
from bort_mx.io.near_names import missing

MANIFEST = "manifest.json"


def prepared_text(sources: Optional[Sequence[str]], target: pathlib.Path, seed: int, tokenizer: Optional[str],
                  train_vocab: Optional[int], keep: bool, workers: Workers, model: str = "") -> pathlib.Path:
    """The folder of token shards; text is prepared into `target` by rank 0 while the others wait.

    Args:
        sources: one folder that `bort-mx prepare` wrote; or text files and folders; None: text that Python brings.
        target: where prepared text goes.
        seed: of the shuffling.
        tokenizer, train_vocab: the vocabulary for text, one of them.
        keep: take what stands at `target` already.
        workers: all make this call.
        model: "--init NAME", if `tokenizer` is not given but that of such a model. This is said where text is prepared.
    Raises:
        InputError: no such file, no vocabulary, bad text.
        RunError: preparing failed.
    """
    paths = [pathlib.Path(path) for path in sources or []]
    if len(paths) == 1 and (paths[0] / MANIFEST).is_file():
        return paths[0]
    absent = [path for path in paths if not path.exists()]
    if absent:
        raise InputError(f"--data {missing(absent[0], 'no such file or folder')}")
    failure = (DONE, "")
    if workers.is_first and not (keep and (target / MANIFEST).is_file()):
        if model:
            print(f"--data is text: it is prepared into {target} with the vocabulary of {model}", flush=True)
        failure = _prepare(sources or [str(sample_text.write_corpus(target.with_name("text")))], target, seed,
                           tokenizer, train_vocab)
    code, said = workers.gather(failure, "prepared")[0]
    if code:
        raise InputError(said) if code == BAD_INPUT else RunError(f"the text could not be prepared: {said}")
    return target


def _prepare(sources: Sequence[str], target: pathlib.Path, seed: int, tokenizer: Optional[str],
             train_vocab: Optional[int]) -> Tuple[int, str]:
    """Prepare text; returns the exit code and, if it is not 0, why.

    It runs as a program of its own, as its processes must not be forked from one that runs MXNet.
    """
    command = [sys.executable, "-m", "bort_mx", "prepare", "--data", *sources, "--output-dir", str(target),
               "--seed", str(seed)]
    if tokenizer:
        command += ["--tokenizer", tokenizer]
    elif train_vocab:
        command += ["--train-vocab", str(train_vocab)]
    else:
        return BAD_INPUT, ("--data is text: give its vocabulary by --tokenizer NAME|DIR, or train one by "
                           "--train-vocab 8000")
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False,
                          env={**os.environ, runtime.WITHIN: "a run"})
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return done.returncode, re.sub(r"^bort-mx prepare: (error|failed): ", "", last)


def data_hashes(directory: pathlib.Path) -> Dict[str, str]:
    """The SHA-256 of the manifest of prepared data, which holds those of all its files."""
    return {"manifest_sha256": files.sha256(directory / MANIFEST)}


def refuse_other_vocabulary(directory: pathlib.Path, prepared: Tokenizer, tokenizer: Optional[str],
                            train_vocab: Optional[int]) -> None:
    """Raises InputError if the data were prepared with another vocabulary than the options name."""
    advice = "leave the option out, or prepare the text anew"
    if train_vocab not in (None, prepared.vocab_size):
        raise InputError(f"--train-vocab {train_vocab}: {directory} was prepared with a vocabulary of "
                         f"{prepared.vocab_size} entries; {advice}")
    if tokenizer and load_tokenizer(tokenizer).digest != prepared.digest:
        raise InputError(f"--tokenizer {tokenizer}: {directory} was prepared with another vocabulary; {advice}")
