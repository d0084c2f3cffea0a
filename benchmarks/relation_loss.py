"""Processor time of the relation loss with its gradient: the compiled loop beside MXNet's operators, in turn.

    python benchmarks/relation_loss.py [--rounds 7]

32 sequences of 64 tokens, 32 relation heads, a student of width 256 and a teacher of 384, random states. Prints one
JSON line: milliseconds of both (median, quartiles), and their ratio.
"""

import argparse
import json
import time

import numpy as np
from side_by_side import spread

from bort_mx import runtime

SIZE, LENGTH, HEADS, WIDTH, TEACHERS = 32, 64, 32, 256, 384


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    runtime.keep_freed_memory()  # before MXNet starts its threads
    threads = runtime.set_threads()
    import mxnet as mx

    from bort_mx.pretraining import compiled_relations, losses

    rng = np.random.default_rng(0)
    student, teacher = (mx.nd.array(rng.normal(size=(LENGTH, SIZE, 3 * width))) for width in (WIDTH, TEACHERS))
    student.attach_grad()
    lengths = mx.nd.full(SIZE, LENGTH)
    loop = compiled_relations.relations
    forms = {"compiled": loop, "MXNet's operators": lambda: None}
    seconds = {name: [] for name in forms}
    for number in range(-1, rounds):  # the first one compiles
        for name, form in forms.items():
            compiled_relations.relations = form
            begin = time.process_time()
            with mx.autograd.record():
                loss = losses.relation_loss(student, teacher, lengths, HEADS).sum()
            loss.backward()
            mx.nd.waitall()
            if number >= 0:
                seconds[name].append(time.process_time() - begin)
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values())]
    print(json.dumps({"threads": threads, "processor_ms": {name: spread([1000 * value for value in values])
                                                           for name, values in seconds.items()},
                      "ratio": spread(ratios)}))


if __name__ == "__main__":
    main()
