"""`Evaluator`: measured plans, each of them once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels import Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from passes.allocation.problem import AllocationProblem
    from passes.search.cache import EvaluationCache
    from passes.search.point import Choices, Evaluation
    from passes.search.runners import Runner


class Evaluator:
    """Looks plans up, and measures those that nobody has measured before.

    Attributes:
        measured: plans that were run, as opposed to looked up.
    """

    def __init__(
        self,
        problem: AllocationProblem,
        runner: Runner,
        cache: EvaluationCache,
        digest: str,
        note: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Put the parts together.

        Args:
            problem: what choices are indices into.
            runner: measures.
            cache: remembers.
            digest: of everything but the plan that an evaluation depends on.
            note: told about plans that cannot be measured.
        """
        self._problem, self._runner, self._cache = problem, runner, cache
        self._digest, self._note = digest, note
        self.measured = 0

    def measure(self, batch: Sequence[Choices]) -> Iterator[tuple[Choices, Evaluation]]:
        """Yield every plan of a batch with its evaluation: known ones first, others as they are done."""
        unknown = []
        for choices in batch:
            found = self._cache.get(self._digest, self.key(choices))
            if found is None:
                unknown.append(choices)
            else:
                yield choices, found
        for index, evaluation in self._runner.run([self.bits(choices) for choices in unknown]):
            self.measured += 1
            key = self.key(unknown[index])
            self._cache.put(self._digest, key, evaluation)
            if evaluation.failure:
                self._note(f"plan {key}: {evaluation.failure}; the search goes on without it")
            yield unknown[index], evaluation

    def bits(self, choices: Choices) -> dict[str, Precision]:
        """Return the precision of every layer of a plan, by name."""
        pairs = zip(self._problem.layers, choices, strict=True)
        return {layer.name: Precision(*layer.choices[index].pair) for layer, index in pairs}

    def key(self, choices: Choices) -> str:
        """Return the precisions of a plan in the order of the layers, such as ``w8a8 w4a6``."""
        return " ".join(str(precision) for precision in self.bits(choices).values())
