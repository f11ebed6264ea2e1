"""Where plans are measured: in this process, or in processes of this machine."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, Protocol

from passes.errors import UsageError
from passes.search import worker
from passes.search.measurer import Measurer
from passes.search.point import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from hwmodels import Precision
    from passes.search.payload import Payload

    Bits = Mapping[str, Precision]

TOGETHER, ALONE = 2, 2
"""Attempts at a plan whose worker dies, first among others, then with a worker to itself."""
DIED = f"its worker died {TOGETHER + ALONE} times"


class Runner(Protocol):
    """Measures plans."""

    def run(self, jobs: Sequence[Bits]) -> Iterator[tuple[int, Evaluation]]:
        """Yield the index of each plan and its evaluation, in the order in which they are done.

        Args:
            jobs: precision of every layer, by name.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Serial:
    """Measures in this process."""

    def __init__(self, payload: Payload) -> None:
        """Open the model and its data."""
        self._measurer = Measurer(payload)

    def run(self, jobs: Sequence[Bits]) -> Iterator[tuple[int, Evaluation]]:
        """Measure one plan after the other; see `Runner`."""
        for index, bits in enumerate(jobs):
            yield index, self._measurer.measure(bits)

    def close(self) -> None:
        """Do nothing: memory is all there is."""


class Processes:
    """Measures in processes that are started afresh, each of which is sent the payload once.

    A process that dies takes the others with it; they are started again. A plan on which a process dies even
    when it has nothing else to do is marked as failed.
    """

    def __init__(self, payload: Payload, count: int) -> None:
        """Prepare; processes start with the first plan.

        Args:
            payload: what they are sent.
            count: how many.

        Raises:
            UsageError: less than one is asked for.
        """
        if count < 1:
            raise UsageError(f"expected one process or more, found {count}")
        self._payload, self._count = payload, count
        self._pool: ProcessPoolExecutor | None = None

    def run(self, jobs: Sequence[Bits]) -> Iterator[tuple[int, Evaluation]]:
        """Measure plans side by side; see `Runner`."""
        left = dict(enumerate(jobs))
        for _ in range(TOGETHER):
            for index, evaluation in self._attempt(left, self._count):
                del left[index]
                yield index, evaluation
        for index, bits in left.items():
            yield index, self._alone(bits)

    def close(self) -> None:
        """End the processes; plans that they have begun are given up."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _alone(self, bits: Bits) -> Evaluation:
        self.close()
        for _ in range(ALONE):
            for _, evaluation in self._attempt({0: bits}, 1):
                self.close()
                return evaluation
        return Evaluation.failed(DIED)

    def _attempt(self, jobs: Mapping[int, Bits], count: int) -> Iterator[tuple[int, Evaluation]]:
        """Yield what could be measured before a process died."""
        futures: dict[Future[Evaluation], int] = {}
        try:
            futures |= {self._open(count).submit(worker.measure_prepared, jobs[at]): at for at in jobs}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            self.close()
        finally:
            for future in futures:
                future.cancel()

    def _open(self, count: int) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(count, get_context("spawn"), worker.start, (self._payload,))
        return self._pool
