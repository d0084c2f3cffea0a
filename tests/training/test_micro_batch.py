"""The micro-batch: as large as MXNet's limit on tensors and free memory allow, and a divisor of the share."""

import subprocess
import sys

import pytest

from bort_mx import PRESETS, Architecture
from bort_mx.errors import InputError
from bort_mx.training.micro_batch import MOST_ELEMENTS, bytes_of_sequence, fitting_micro_batch

MASKED, VOCABULARY = 77, 50265  # 15 % of 512 tokens; RoBERTa's


def test_the_papers_batch_fits_whatever_the_memory():
    """1,024 sequences × 77 × 50,265 logits are more than 2³¹ elements: whatever the memory, they go in parts."""
    found = fitting_micro_batch(1024, MASKED * VOCABULARY, 1, free=10 ** 18)
    assert found == 512 and found * MASKED * VOCABULARY <= MOST_ELEMENTS < 2 * found * MASKED * VOCABULARY


@pytest.mark.parametrize("share, memory, free, expected", [
    (1024, 10 ** 8, 10 ** 11, 256),  # half of free memory holds 500
    (1024, 10 ** 8, 1.2 * 10 ** 10, 32), (96, 10 ** 8, 2 * 10 ** 10, 96), (96, 10 ** 8, 10 ** 10, 48),
    (97, 10 ** 8, 10 ** 10, 1), (8, 10 ** 8, 2.1 * 10 ** 8, 1)])
def test_it_is_a_divisor_of_the_share_that_fits_into_half_of_free_memory(share, memory, free, expected):
    found = fitting_micro_batch(share, 1, memory, free=int(free))
    assert found == expected and share % found == 0 and found * memory <= free / 2


def test_where_not_even_one_sequence_fits_the_sizes_are_told():
    with pytest.raises(InputError, match=r"one sequence needs about 2\.00 GB in training, and 3\.00 GB of memory are "):
        fitting_micro_batch(8, 1, 2 * 10 ** 9, free=3 * 10 ** 9)


def test_a_deeper_model_a_longer_text_and_a_teacher_take_more():
    bort = PRESETS["bort"]
    alone = bytes_of_sequence(bort, 512, MASKED, VOCABULARY)
    assert alone < bytes_of_sequence(Architecture(8, 8, 1024, 768), 512, MASKED, VOCABULARY)
    assert bytes_of_sequence(bort, 128, 19, VOCABULARY) < alone
    assert alone < bytes_of_sequence(bort, 512, MASKED, VOCABULARY, PRESETS["roberta-large"])


def test_the_estimate_is_from_above(tmp_path):
    """Twelve more sequences in a pass of a small model take no more memory than the estimate says."""
    code = """
import re, sys
import mxnet as mx, numpy as np
from bort_mx import Architecture
from bort_mx.models import build_model
count, a = int(sys.argv[1]), Architecture(4, 4, 256, 512)
model = build_model(a, 8000, "mlm", num_positions=256)
ids, positions = mx.nd.ones((count, 256)), mx.nd.array(np.tile(np.arange(38), (count, 1)))
with mx.autograd.record():
    loss = mx.nd.log_softmax(model(ids, mx.nd.array([256] * count), positions)).sum()
loss.backward(); mx.nd.waitall()
# Not ru_maxrss: a child starts with its parent's peak, and this parent has run many tests.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""
    few, many = (int(subprocess.run([sys.executable, "-c", code, str(count)], check=True, capture_output=True,
                                    text=True).stdout) for count in (4, 16))
    assert 0 < (many - few) / 12 < bytes_of_sequence(Architecture(4, 4, 256, 512), 256, 38, 8000)


def test_the_estimate_of_relations_is_from_above():
    """With many relation heads and long text their scores take most of the memory, if there is no C compiler."""
    code = """
import re, sys
import mxnet as mx
from bort_mx.pretraining import compiled_relations
from bort_mx.pretraining.losses import relation_loss
compiled_relations.relations = lambda: None
count = int(sys.argv[1])
student, teacher, lengths = mx.nd.ones((256, count, 3 * 64)), mx.nd.ones((256, count, 3 * 64)), mx.nd.full(count, 256)
student.attach_grad()
with mx.autograd.record():
    loss = relation_loss(student, teacher, lengths, 16).sum()
loss.backward(); mx.nd.waitall()
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""
    few, many = (int(subprocess.run([sys.executable, "-c", code, str(count)], check=True, capture_output=True,
                                    text=True).stdout) for count in (2, 8))
    own, scores = Architecture(1, 1, 8, 8), 3 * 16 * 256 ** 2
    estimate = bytes_of_sequence(own, 256, 0, 1, scores=scores) - bytes_of_sequence(own, 256, 0, 1)
    assert 4 * scores < (many - few) / 6 < estimate


def test_the_papers_pre_training_on_a_gpu_of_16_gb():
    """128 sequences of 512 with RoBERTa-large as teacher: 95 GB by the estimate, so 16 micro-batches of 8."""
    each = bytes_of_sequence(PRESETS["bort"], 512, 77, 50265, PRESETS["roberta-large"])
    assert 128 * each == pytest.approx(95e9, rel=0.03)
    assert fitting_micro_batch(128, 77 * 50265, each, free=int(15e9)) == 8
