"""What a student of docs/experiments/students.md is compared with: transformers' masked language modelling on PyTorch.

    python benchmarks/students_peer.py --data runs/students/data --architecture 4,4,256,1024 --max-steps 1000 \\
        --learning-rate 1e-3 --seq-len 64 --batch-size 32 --output-dir runs/students/transformers

BertForMaskedLM from fresh weights, its head at the masked positions only, AdamW with a linear schedule and 10 % of
warm-up, clipped to 1, one thread, and bfloat16 autocast where the processor has it. It sees the same sequences under
the same masks as run_pretraining.py with these options. OUT is a folder of Hugging Face, with results.json and
cost.json beside it. A run that was stopped goes on from its last checkpoint.
"""

import argparse
import contextlib
import fcntl
import os
import pathlib
import signal
import sys
import time
from typing import Any, Dict, Iterator

import numpy as np
import torch
import transformers

from bort_mx.data.masking import Batch, MaskedBatches
from bort_mx.data.shards import TokenShards
from bort_mx.io import files
from bort_mx.machine import instructions

STOPPED = 130
CHECKPOINT_INTERVAL = 50
EVALUATED = 512
"""Sequences of the validation split."""


def gathered_loss(model: transformers.BertForMaskedLM, batch: Batch) -> torch.Tensor:
    """Cross-entropy at the masked positions, mean over them."""
    ids = torch.from_numpy(batch.input_ids.astype(np.int64))
    mask = torch.arange(ids.shape[1])[None] < torch.from_numpy(batch.valid_length)[:, None]
    longest = int(batch.valid_length.max())
    states = model.bert(input_ids=ids[:, :longest], attention_mask=mask[:, :longest].long()).last_hidden_state
    kept = torch.from_numpy(batch.weights > 0)
    rows = torch.arange(len(ids))[:, None].expand(kept.shape)[kept]
    positions = torch.from_numpy(batch.masked_positions.astype(np.int64))[kept]
    labels = torch.from_numpy(batch.labels.astype(np.int64))[kept]
    return torch.nn.functional.cross_entropy(model.cls(states[rows, positions]).float(), labels)


def groups(model: torch.nn.Module) -> list:
    """Parameters with and without weight decay, as transformers divides them."""
    decayed = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "LayerNorm" in name)]
    other = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    return [{"params": decayed, "weight_decay": 0.01}, {"params": other, "weight_decay": 0.0}]


class Run:
    """A model, its optimizer and its place in a folder."""

    def __init__(self, options: argparse.Namespace):
        self._options, self._out = options, pathlib.Path(options.output_dir)
        self._out.mkdir(parents=True, exist_ok=True)
        self._lock = open(self._out / ".lock", "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._told = {name: value for name, value in vars(options).items() if name not in ("output_dir", "resume")}
        shards = TokenShards(options.data, "train")
        self._tokenizer = shards.tokenizer()
        self._batches = MaskedBatches(shards, self._tokenizer, options.seq_len, 0)
        self._held_out = MaskedBatches(TokenShards(options.data, "validation"), self._tokenizer, options.seq_len, 0)
        torch.manual_seed(0)
        layers, heads, width, inner = map(int, options.architecture.split(","))
        self._model = transformers.BertForMaskedLM(transformers.BertConfig(
            vocab_size=self._tokenizer.vocab_size, hidden_size=width, num_hidden_layers=layers,
            num_attention_heads=heads, intermediate_size=inner, pad_token_id=self._tokenizer.pad_id))
        self._optimizer = torch.optim.AdamW(groups(self._model), lr=options.learning_rate, eps=1e-8, foreach=True)
        self._schedule = transformers.get_linear_schedule_with_warmup(
            self._optimizer, round(0.1 * options.max_steps), options.max_steps)
        self._step, self._spent, self._began = 0, 0.0, time.process_time()
        self.stopping = False
        if self._checkpoint.exists():
            self._restore(torch.load(self._checkpoint, weights_only=True))

    @property
    def _checkpoint(self) -> pathlib.Path:
        return self._out / "checkpoint.pt"

    @property
    def _seconds(self) -> float:
        return self._spent + time.process_time() - self._began

    def train(self) -> bool:
        """All steps that are left; False if it was stopped before."""
        self._model.train()
        while self._step < self._options.max_steps and not self.stopping:
            with autocast():
                loss = gathered_loss(self._model, self._batches.at(self._step, self._options.batch_size))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad(set_to_none=True)
            self._step += 1
            if self._step % CHECKPOINT_INTERVAL == 0 or self.stopping:
                print(f"{self._step}/{self._options.max_steps}: loss {loss.item():.4f}, {self._seconds:.0f} CPU "
                      "seconds", flush=True)
                self._keep()
        return self._step == self._options.max_steps

    def finish(self) -> None:
        """Evaluate, and write the folder."""
        spent = self._seconds
        self._model.eval()
        with torch.inference_mode(), autocast():
            losses = [(gathered_loss(self._model, batch).item(), int(batch.weights.sum()))
                      for batch in self._held_out.evaluation(32, limit=EVALUATED)]
        loss = sum(loss * size for loss, size in losses) / sum(size for _, size in losses)
        self._model.save_pretrained(self._out)
        self._tokenizer.save(self._out)
        files.write_json(self._out / "results.json", {"steps": self._step, "validation_loss": loss})
        files.write_json(self._out / "cost.json", {"cpu_seconds": spent, "transformers": transformers.__version__,
                                                   "torch": torch.__version__, "bf16": instructions()["bf16"]})

    def _keep(self) -> None:
        state = {"options": self._told, "step": self._step, "spent": self._seconds, "model": self._model.state_dict(),
                 "optimizer": self._optimizer.state_dict(), "schedule": self._schedule.state_dict(),
                 "rng": torch.get_rng_state()}
        torch.save(state, self._checkpoint.with_suffix(".new"))
        os.replace(self._checkpoint.with_suffix(".new"), self._checkpoint)

    def _restore(self, state: Dict[str, Any]) -> None:
        if state["options"] != self._told:
            raise SystemExit(f"{self._out} was started with {state['options']}; start anew in another --output-dir")
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["rng"])
        self._step, self._spent = state["step"], state["spent"]

    def stop(self, *_: Any) -> None:
        """Stop after this step, with a checkpoint."""
        self.stopping = True


@contextlib.contextmanager
def autocast() -> Iterator[None]:
    """bfloat16 where the processor computes in it."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(instructions()["bf16"])):
        yield


def main() -> int:
    """Train; exit code 130 if it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--output-dir", "--architecture"):
        parser.add_argument(name, required=True)
    parser.add_argument("--max-steps", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seq-len", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--resume", choices=["auto"], help="it always goes on")
    torch.set_num_threads(1)
    run = Run(parser.parse_args())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, run.stop)
    if not run.train():
        return STOPPED
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
