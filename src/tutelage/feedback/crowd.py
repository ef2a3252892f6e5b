"""The simulated crowd: workers who judge two responses by the planted utility, each in their own way.

A worker perceives the difference of two responses through weights of their own, and clicks by a logistic choice
(Bradley and Terry 1952; Luce 1959) with their own noise and a leaning to one side of the screen. A few are careless.
As in the paper (section 2.2), about a fifth of the workers give four fifths of the judgments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tutelage.corpus.prompts import PromptKind
from tutelage.dialogue import Comparison, Judgment, Kind, Prompt, Question, Response
from tutelage.feedback.utility import FEATURES, WEIGHTS, features
from tutelage.statistics.agreement import accuracy_ceiling
from tutelage.statistics.intervals import Floats

KIND_OF: dict[Question, Kind] = {"more_helpful": "helpful", "more_harmful": "harmless"}
QUESTION_OF: dict[PromptKind | Kind, Question] = {
    "helpful": "more_helpful",
    "red_team": "more_harmful",
    "harmless": "more_harmful",
}

TASTE_SPREAD = 0.4  # log-SD of a worker's weight around the crowd's
TEMPERATURE = 0.48  # points of utility that make the odds of a choice e to 1, for the median worker
TEMPERATURE_SPREAD = 0.3  # log-SD
SIDE_SPREAD = 0.2  # SD of the leaning, in logits
CARELESS_SHARE = 0.12  # of all workers; they guess
CARELESS_TEMPERATURE = 6.0
CARELESS_SIDE_SPREAD = 1.0
STRENGTH_STEPS = (0.6, 1.6, 3.0)  # perceived differences, in logits, from which a click is of strength 2, 3, 4


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """A simulated worker.

    Attributes:
        name: unlike that of any worker of another seed.
        diligence: the share of the crowd's judgments that the worker gives.
        taste: the points that each feature of a kind is worth to the worker, in the order of `FEATURES`.
        temperature: the points of difference that make the odds of a choice e to 1.
        side_bias: what is added to the logit of side a.
        careless: whether the worker mostly guesses.
    """

    name: str
    diligence: float
    taste: dict[Kind, Floats]
    temperature: float
    side_bias: float
    careless: bool


def choice_logit(worker: Worker, question: Question, a: Floats, b: Floats) -> Floats:
    """The logits of picking the response on side a, from features (…, F) of both; the more harmful is worth less."""
    sign = -1.0 if question == "more_harmful" else 1.0
    return np.asarray(sign * ((a - b) @ worker.taste[KIND_OF[question]]) / worker.temperature + worker.side_bias)


def choice_probability(worker: Worker, question: Question, a: Floats, b: Floats) -> Floats:
    """The probability that the worker picks side a: the logistic function of `choice_logit`."""
    return _logistic(choice_logit(worker, question, a, b))


def make_crowd(workers: int = 24, seed: int = 0) -> "Crowd":
    """A crowd of its own taste for every seed; equal seeds make equal crowds.

    Raises:
        ValueError: fewer than five workers, of whom no fifth can be diligent.
    """
    if workers < 5:
        raise ValueError(f"a crowd has at least 5 workers, not {workers}")
    rng = np.random.default_rng(seed)
    shares = _diligence(workers)
    # The careless are not in the most diligent fifth: they would have been let go.
    candidates = np.arange(workers // 5 + 1, workers)
    careless = set(rng.choice(candidates, max(1, round(CARELESS_SHARE * workers)), replace=False))
    return Crowd(
        tuple(_worker(f"w{seed}-{rank:02}", float(shares[rank]), rank in careless, rng) for rank in range(workers))
    )


def _diligence(workers: int) -> Floats:
    """Shares of the judgments, the largest first: geometric, so that what follows the first fifth is one fifth."""
    weights = 0.2 ** (np.arange(workers) / (workers / 5))
    return np.asarray(weights / weights.sum())


def _worker(name: str, diligence: float, careless: bool, rng: np.random.Generator) -> Worker:
    taste = {kind: WEIGHTS[kind] * rng.lognormal(0, TASTE_SPREAD, len(FEATURES[kind])) for kind in FEATURES}
    temperature = CARELESS_TEMPERATURE if careless else TEMPERATURE * rng.lognormal(0, TEMPERATURE_SPREAD)
    side_bias = rng.normal(0, CARELESS_SIDE_SPREAD if careless else SIDE_SPREAD)
    return Worker(name, diligence, taste, float(temperature), float(side_bias), careless)


@dataclass(frozen=True)
class Crowd:
    """Workers, the most diligent first. Iterate over `workers` where each is to have an equal share."""

    workers: tuple[Worker, ...]

    @cached_property
    def diligence(self) -> Floats:
        """(W,) The workers' shares of the judgments."""
        return np.array([worker.diligence for worker in self.workers])

    def judge(
        self, prompt: Prompt, question: Question, one: Response, other: Response, rng: np.random.Generator
    ) -> Judgment:
        """The judgment of a worker drawn by diligence."""
        worker = self.workers[rng.choice(len(self.workers), p=self.diligence)]
        return self.judge_by(worker, prompt, question, one, other, rng)

    @staticmethod
    def judge_by(
        worker: Worker, prompt: Prompt, question: Question, one: Response, other: Response, rng: np.random.Generator
    ) -> Judgment:
        """The judgment of this worker: who sees the two on sides drawn by lot, stored as shown."""
        a, b = (one, other) if rng.random() < 0.5 else (other, one)
        return Crowd.judge_as_shown(worker, prompt, question, a, b, rng)

    @staticmethod
    def judge_as_shown(
        worker: Worker, prompt: Prompt, question: Question, a: Response, b: Response, rng: np.random.Generator
    ) -> Judgment:
        """The judgment of this worker, who sees these responses on these sides.

        The perceived difference is the choice's logit plus logistic noise: its sign is the side, its size the strength.
        """
        kind = KIND_OF[question]
        logit = choice_logit(worker, question, features(kind, prompt, a), features(kind, prompt, b))
        perceived = float(logit + rng.logistic())
        strength = 1 + sum(abs(perceived) >= step for step in STRENGTH_STEPS)
        return Judgment(prompt, a, b, question, "a" if perceived > 0 else "b", strength, worker.name)

    def preference(self, comparisons: Sequence[Comparison]) -> Floats:
        """(N, W) How probably each worker prefers the chosen response, over both ways of showing the two."""
        for_chosen, _ = self._click_probabilities(comparisons)
        return np.asarray(for_chosen)

    def agreement(self, comparisons: Sequence[Comparison]) -> float:
        """How often two different workers agree on these pairs, every two workers counting the same."""
        preference = self.preference(comparisons)
        count = len(self.workers)
        votes = preference.sum(axis=1)
        both = (votes**2 - (preference**2).sum(axis=1)) / (count * (count - 1))
        return float(np.mean(1 - 2 * votes / count + 2 * both))

    def ceiling(self, comparisons: Sequence[Comparison], weakest: int = 1) -> float:
        """The expected accuracy of the best possible predictor of single judgments on these pairs.

        It names, for each pair, the response that a worker drawn by diligence more probably prefers.

        Args:
            comparisons: who judged them, and how, does not matter.
            weakest: the strength from which judgments count; the paper drops the weakest.
        """
        for_chosen, for_rejected = self._click_probabilities(comparisons, weakest) @ self.diligence
        return accuracy_ceiling(for_chosen / (for_chosen + for_rejected))

    def _click_probabilities(self, comparisons: Sequence[Comparison], weakest: int = 1) -> Floats:
        """(2, N, W) Of a click for the chosen, and for the rejected response, of that strength at least."""
        step = (0.0, *STRENGTH_STEPS)[weakest - 1]
        logits, bias = self._logits(comparisons), np.array([worker.side_bias for worker in self.workers])
        return np.stack(
            [(_logistic(sign * logits + bias - step) + _logistic(sign * logits - bias - step)) / 2 for sign in (1, -1)]
        )

    def _logits(self, comparisons: Sequence[Comparison]) -> Floats:
        """(N, W) For the chosen response, sides left out."""
        logits = np.empty((len(comparisons), len(self.workers)))
        for row, pair in enumerate(comparisons):
            chosen, rejected = (features(pair.kind, pair.prompt, r) for r in (pair.chosen, pair.rejected))
            logits[row] = self._tastes[pair.kind] @ (chosen - rejected)
        return logits

    @cached_property
    def _tastes(self) -> dict[Kind, Floats]:
        """(W, F) a kind: weights in logits."""
        return {kind: np.stack([w.taste[kind] / w.temperature for w in self.workers]) for kind in FEATURES}


def _logistic(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))
