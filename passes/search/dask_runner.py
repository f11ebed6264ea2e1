"""Measures on a Dask cluster: ``--workers dask://host:port``, with the extra ``distributed``.

The payload is scattered to the workers once; Dask hands it on to workers that join later. It also runs the
plans of a lost worker elsewhere, until ``distributed.scheduler.allowed-failures`` workers have died on one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.errors import UsageError
from passes.search import worker
from passes.search.point import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passes.search.payload import Payload
    from passes.search.runners import Bits

CONNECT_S = 10


class Dask:
    """Measures on the workers of a scheduler; those need the same versions of the same packages."""

    def __init__(self, payload: Payload, address: str) -> None:
        """Connect and send the payload.

        Args:
            payload: what workers are sent; a folder of images is read where they are.
            address: ``host:port`` of the scheduler.

        Raises:
            UsageError: the extra is not installed, or no scheduler answers.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError(
                "--workers dask:// needs distributed; install it with: pip install 'qtool[distributed]'"
            ) from error
        try:
            self._client = Client(f"tcp://{address}", timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"--workers dask://{address}: no scheduler answers there: {error}") from error
        self._payload = self._client.scatter(payload, broadcast=True, hash=False)

    def run(self, jobs: Sequence[Bits]) -> Iterator[tuple[int, Evaluation]]:
        """Measure plans on all workers; see `passes.search.runners.Runner`."""
        from distributed import KilledWorker, as_completed

        futures = {
            self._client.submit(worker.measure, self._payload, bits, pure=False): index
            for index, bits in enumerate(jobs)
        }
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                try:
                    yield futures[future], future.result()
                except KilledWorker as error:
                    yield futures[future], Evaluation.failed(f"its workers died: {error}")
        finally:
            self._client.cancel([future for future in futures if not future.done()])

    def close(self) -> None:
        """Disconnect; the cluster stays."""
        self._client.close()
