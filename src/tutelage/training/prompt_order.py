"""Which prompts a step takes and in which order it passes them: a pure function of the seed and the step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.modeling.encoding import Ids
from tutelage.plumbing.errors import InputError
from tutelage.training.policy_settings import PolicySettings


@dataclass(frozen=True)
class PromptSource:
    """Prompts as ids, their weight in the mixture, and where rewards are relative to one, a reference response each."""

    prompts: Sequence[Ids]
    weight: float = 1.0
    references: Sequence[Ids] = ()

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"a weight must be at least 0, not {self.weight}")
        if len(self.references) not in (0, len(self.prompts)):
            raise ValueError(f"{len(self.references)} reference responses to {len(self.prompts)} prompts")


@dataclass(frozen=True)
class StepPlan:
    """The prompts of a step (with their reference responses), and its minibatches as places among them."""

    prompts: list[Ids]
    references: list[Ids]
    minibatches: list[NDArray[np.int64]]
    """of all passes, one after the other"""


def step_plans(sources: Sequence[PromptSource], settings: PolicySettings, seed: int) -> Iterator[StepPlan]:
    """The plans of all steps, without end. A source's prompts come in a new order each time round, each once.

    Raises:
        InputError: no source, or one that has a weight but no prompt.
    """
    mixed = [source for source in sources if source.weight > 0]
    if not mixed or not all(source.prompts for source in mixed):
        raise InputError("no prompts of a kind that is to be mixed in; give some, or leave that kind out")
    rng = np.random.default_rng(seed)
    queues = [_cycle(len(source.prompts), rng) for source in mixed]
    weights, count = [source.weight for source in mixed], settings.prompts_per_step
    step = 0
    while True:
        before, after = (shares(total * count, weights) for total in (step, step + 1))
        numbers = reversed(list(zip(mixed, queues, np.subtract(after, before), strict=True)))
        taken = [(source, next(queue)) for source, queue, number in numbers for _ in range(number)]
        yield StepPlan(
            [source.prompts[place] for source, place in taken],
            [source.references[place] for source, place in taken if source.references],
            [
                part
                for _ in range(settings.epochs)
                for part in np.array_split(rng.permutation(count), settings.minibatches)
            ],
        )
        step += 1


def _cycle(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(count).tolist()


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """How many of the first `total` prompts each source has given; what is no whole number evens out over the steps.

    The first source against all later ones, the second against those after it, …: so no count ever falls as the total
    grows.
    """
    counts = []
    for first in range(len(weights) - 1):
        later = int(total * (sum(weights[first + 1 :]) / sum(weights[first:])))
        counts.append(total - later)
        total = later
    return [*counts, total]
