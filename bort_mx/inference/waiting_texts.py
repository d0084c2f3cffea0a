"""Texts of many requests that wait for a model, which takes them in batches of similar length.

One thread runs the model. It takes what waits: the text that came first, and with it those that are nearest to it in
length. So little of a batch is padding, and no text waits for longer than the texts that came before it.
"""

import concurrent.futures
import logging
import threading
import time
from typing import Any, Callable, List, NamedTuple, Sequence

logger = logging.getLogger(__name__)


class TooManyWaiting(RuntimeError):
    """No room: as many texts wait as may. Try again later."""


class _Request:
    """The answers to the texts of one request."""

    def __init__(self, count: int):
        self.future: concurrent.futures.Future = concurrent.futures.Future()
        self.future.set_running_or_notify_cancel()  # it cannot be cancelled while the model's thread sets its answer
        self.answers: List[Any] = [None] * count
        self._left = count

    def answered(self, index: int, answer: Any) -> None:
        """Take one answer; the last one ends the request."""
        self.answers[index] = answer
        self._left -= 1
        if self._left == 0 and not self.future.done():
            self.future.set_result(self.answers)

    def failed(self, error: BaseException) -> None:
        """End the request with an error."""
        if not self.future.done():
            self.future.set_exception(error)


class _Waiting(NamedTuple):
    item: Any
    length: int
    arrived: float
    request: _Request
    index: int


class WaitingTexts:
    """A queue before a model.

    Args:
        run: a batch of items → an answer to each. It is called in one thread only.
        batch_size: items in a batch.
        wait: seconds that the first item waits for company while the batch is not full. 0: a batch is what came in
            while the model was at work.
        most: items that may wait.
    """

    def __init__(self, run: Callable[[List[Any]], Sequence[Any]], batch_size: int = 16, wait: float = 0.0,
                 most: int = 4096):
        self._run, self._batch_size, self._wait, self._most = run, batch_size, wait, most
        self._waiting: List[_Waiting] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def submit(self, items: Sequence[Any], lengths: Sequence[int]) -> concurrent.futures.Future:
        """Queue the items of one request.

        Args:
            items: what `run` takes.
            lengths: the length of each, by which batches are made.
        Returns:
            A future of the answers, in order. An exception of `run` is its exception.
        Raises:
            TooManyWaiting: more would wait than may.
            RuntimeError: after `close`.
        """
        request, now = _Request(len(items)), time.monotonic()
        if not items:
            request.future.set_result([])
            return request.future
        with self._changed:
            if self._closed:
                raise RuntimeError("closed")
            if self._waiting and len(self._waiting) + len(items) > self._most:  # alone, any request is taken
                raise TooManyWaiting(f"{len(self._waiting)} texts wait for the model already")
            self._waiting += [_Waiting(item, length, now, request, index)
                              for index, (item, length) in enumerate(zip(items, lengths))]
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Answer what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            batch = self._next()
            if not batch:
                return
            try:
                answers = self._run([entry.item for entry in batch])
            except Exception as error:  # whatever it is, it is the request's; the next batch may be good
                logger.exception("the model failed on a batch of %d texts", len(batch))
                for entry in batch:
                    entry.request.failed(error)
            else:
                for entry, answer in zip(batch, answers):
                    entry.request.answered(entry.index, answer)
            del batch  # not kept while the thread waits

    def _next(self) -> List[_Waiting]:
        """The next batch; [] after `close`, when none waits."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return []
            end = self._waiting[0].arrived + self._wait
            while len(self._waiting) < self._batch_size and not self._closed:
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._take()

    def _take(self) -> List[_Waiting]:
        first, *others = self._waiting
        if len(others) < self._batch_size:
            self._waiting = []
            return [first, *others]
        order = sorted(range(len(others)), key=lambda i: abs(others[i].length - first.length))
        chosen = set(order[:self._batch_size - 1])
        self._waiting = [entry for i, entry in enumerate(others) if i not in chosen]
        return [first, *(others[i] for i in sorted(chosen))]
