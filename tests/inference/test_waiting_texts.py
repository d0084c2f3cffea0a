"""The queue before a model: batches by length, nobody waits for later texts, errors stay with their batch."""

import threading
import time

import pytest

from bort_mx.inference.waiting_texts import TooManyWaiting, WaitingTexts


class Model:
    """Records its batches; the first one is held until it is let go."""

    def __init__(self, hold=True):
        self.batches, self.running, self.go = [], threading.Event(), threading.Event()
        if not hold:
            self.go.set()

    def __call__(self, items):
        self.batches.append(items)
        self.running.set()
        assert self.go.wait(20)
        if "bad" in items:
            raise ValueError("bad")
        return [item * 2 for item in items]


@pytest.fixture
def held():
    """A queue whose model is at work, so that what is submitted waits."""
    model = Model()
    queue = WaitingTexts(model, batch_size=3, most=9)
    first = queue.submit(["x"], [1])
    assert model.running.wait(20)
    yield model, queue, first
    model.go.set()
    queue.close()


def test_what_waits_is_batched_by_length_and_the_oldest_is_in_the_next_batch(held):
    model, queue, first = held
    many = queue.submit(["aaaa", "b" * 50, "cc", "d" * 51, "eeee"], [4, 50, 2, 51, 4])
    one = queue.submit(["f" * 49], [49])
    model.go.set()
    assert first.result(20) == ["xx"]
    assert many.result(20) == ["a" * 8, "b" * 100, "cccc", "d" * 102, "e" * 8] and one.result(20) == ["f" * 98]
    assert model.batches == [["x"], ["aaaa", "cc", "eeee"], ["b" * 50, "d" * 51, "f" * 49]]
    assert len(queue) == 0


def test_a_long_text_is_not_overtaken_forever(held):
    model, queue, _ = held
    queue.submit(["long"], [1000])
    for _ in range(4):
        queue.submit(["s", "t"], [1, 1])
    model.go.set()
    queue.close()
    assert "long" in model.batches[1]


def test_more_than_may_wait_is_refused_and_an_empty_request_is_answered(held):
    model, queue, _ = held
    queue.submit(["a"] * 8, [1] * 8)
    with pytest.raises(TooManyWaiting, match="8 texts wait"):
        queue.submit(["b", "c"], [1, 1])
    assert queue.submit([], []).result(20) == []
    assert len(queue) == 8


def test_an_error_is_that_of_the_batchs_requests_alone(held, caplog):
    model, queue, _ = held
    bad, good = queue.submit(["bad", "b", "c"], [1, 1, 1]), queue.submit(["d"], [1])
    model.go.set()
    with pytest.raises(ValueError, match="bad"):
        bad.result(20)
    assert good.result(20) == ["dd"]
    assert "the model failed on a batch of 3 texts" in caplog.text


def test_a_request_that_nobody_waits_for_does_not_stop_the_queue(held):
    """A future that is cancelled just before its answer is set would raise in the model's thread."""
    model, queue, _ = held
    left, good = queue.submit(["a"], [1]), queue.submit(["b"], [1])
    assert not left.cancel()
    model.go.set()
    assert good.result(20) == ["bb"] and left.result(20) == ["aa"]


def test_closing_answers_what_waits_and_takes_no_more(held):
    model, queue, first = held
    waiting = queue.submit(["a"], [1])
    closing = threading.Thread(target=queue.close)
    closing.start()
    model.go.set()
    closing.join(20)
    assert first.result(0) == ["xx"] and waiting.result(0) == ["aa"]
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit(["b"], [1])


def test_the_first_waits_for_company_at_most_as_long_as_told():
    model = Model(hold=False)
    queue = WaitingTexts(model, batch_size=2, wait=30)
    first = queue.submit(["a"], [1])
    time.sleep(0.05)
    assert not first.done()
    assert queue.submit(["b"], [1]).result(20) == ["bb"] and first.result(20) == ["aa"]
    assert model.batches == [["a", "b"]]
    last = queue.submit(["c"], [1])
    queue.close()  # ends the waiting
    assert last.result(0) == ["cc"]
