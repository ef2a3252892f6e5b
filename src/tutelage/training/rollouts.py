"""What a policy learns from: sampled responses with scores, log-probs under policy and reference, and features.

A preference model scores what a reader sees. Where a stop string ended a response, these are the words before it; the
policy is trained on all ids that it drew, the stop string's too, for they are how it ends, and its reward sits on the
last of them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tutelage.dialogue import Response, SamplingParameters
from tutelage.modeling.encoding import Encoder, Ids
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.passes import branch_logprobs, score_branches, score_with_features
from tutelage.modeling.rows import Group
from tutelage.modeling.snapshot import load_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.sampling.sampler import Sample, sample
from tutelage.training.advantages import Floats
from tutelage.training.losses import kl_T
from tutelage.training.policy_settings import KLEstimator


@dataclass(frozen=True)
class PreferenceModel:
    """A preference model on a trunk: its adapter's name and its head."""

    adapter: str
    head: ScoreHead


def load_preference_model(trunk: Trunk, place: Path, adapter: str) -> PreferenceModel:
    """A snapshot of a preference model, put on a trunk.

    Raises:
        InputError: it is a policy's, or none that this trunk can hold.
    """
    head = load_snapshot(place, trunk, adapter)
    if head is None:
        raise InputError(f"{place}: a policy, where a preference model was expected")
    return PreferenceModel(adapter, head)


@dataclass(frozen=True)
class Models:
    """Who takes part in rollouts, by adapter on one trunk (None: the bare trunk): the policy, the one that it begins
    as, the reference that it is held near to, the preference model that rewards it and the one that only watches."""

    policy: str
    initial: str | None
    reference: str | None
    train_pm: PreferenceModel
    heldout: PreferenceModel | None


@dataclass(frozen=True)
class Rollout:
    """One response. Arrays have one entry a token, features one row a token; scores are as the models give them."""

    sample: Sample
    score: float
    heldout_score: float | None
    reference_score: float | None
    """the train-PM's score of the prompt's reference response, where there is one"""
    old_logprobs: Floats
    reference_logprobs: Floats
    initial_logprobs: Floats
    features: Floats | None
    """the train-PM's, ahead of each token, where they were asked for"""

    @property
    def truncated(self) -> bool:
        return self.sample.finish == "length"

    def kl_t(self, estimator: KLEstimator) -> Floats:
        """KL to the reference at each token; what is charged is what is logged."""
        return _kl_t(self.old_logprobs, self.reference_logprobs, estimator)

    def distance_t(self, estimator: KLEstimator) -> Floats:
        """The same to the initial policy."""
        return _kl_t(self.old_logprobs, self.initial_logprobs, estimator)


def _kl_t(logprobs: Floats, reference: Floats, estimator: KLEstimator) -> Floats:
    kl: Floats = kl_T(torch.from_numpy(logprobs), torch.from_numpy(reference), estimator).numpy()
    return kl


@dataclass(frozen=True)
class RolloutBatch:
    """The rollouts of one step, by prompt."""

    prompts: Sequence[Ids]
    rollouts: list[list[Rollout]]
    sampling_seconds: float = 0.0

    @property
    def flat(self) -> list[Rollout]:
        return [rollout for row in self.rollouts for rollout in row]

    @property
    def groups(self) -> list[Group]:
        """Of the prompts that have responses."""
        return [self.group(place) for place, row in enumerate(self.rollouts) if row]

    def group(self, place: int) -> Group:
        """A prompt with all that was drawn for it."""
        return Group(self.prompts[place], tuple(rollout.sample.ids for rollout in self.rollouts[place]))

    def finished(self) -> "RolloutBatch":
        """Without the responses that were cut off; a prompt may be left with none."""
        return RolloutBatch(self.prompts, [[r for r in row if not r.truncated] for row in self.rollouts])


def roll_out(
    trunk: Trunk,
    models: Models,
    prompts: Sequence[Ids],
    n: int,
    parameters: SamplingParameters,
    seed: int,
    references: Sequence[Ids] = (),
    with_features: bool = False,
) -> RolloutBatch:
    """`n` responses of the policy to each prompt, scored. The log-probs are those the sampler drew with.

    `references`: a reference response to each prompt, scored beside them; `with_features`: keep the train-PM's.
    """
    started = time.perf_counter()
    with trunk.using(models.policy):
        samples = sample(trunk, prompts, n, parameters, seed)
    seconds = time.perf_counter() - started
    drawn = [Group(prompt, tuple(draw.ids for draw in row)) for prompt, row in zip(prompts, samples, strict=True)]
    shown = [[shown_ids(trunk.encoder, draw) for draw in row] for row in samples]
    beside: Sequence[Ids | None] = references or [None] * len(drawn)
    both = [read_beside(*row) for row in zip(drawn, shown, beside, strict=True)]
    groups, places = [group for group, _ in both], [where for _, where in both]
    judge = models.train_pm
    features: Sequence[Sequence[Floats | None]] = [[None] * n for _ in drawn]
    if with_features:
        scores, features = score_with_features(trunk, judge.adapter, judge.head, groups)
    else:
        scores = score_branches(trunk, judge.adapter, judge.head, groups)
    watched = score_branches(trunk, models.heldout.adapter, models.heldout.head, groups) if models.heldout else None
    reference = branch_logprobs(trunk, models.reference, drawn, parameters.temperature)
    moved = models.reference != models.initial
    initial = branch_logprobs(trunk, models.initial, drawn, parameters.temperature) if moved else reference
    return RolloutBatch(prompts, [
        [
            Rollout(
                draw, scores[i][places[i][j]], watched[i][places[i][j]] if watched else None,
                scores[i][-1] if references else None, np.array(draw.logprobs), reference[i][j], initial[i][j],
                features[i][j],
            )
            for j, draw in enumerate(row)
        ]
        for i, row in enumerate(samples)
    ], seconds)  # fmt: skip


def shown_ids(encoder: Encoder, draw: Sample) -> Ids:
    """A sample as a preference model is to read it: as drawn, or where a stop string ended it, the words before it."""
    if draw.finish != "stop" or draw.ids[-1] == encoder.end:
        return draw.ids
    return encoder.response_ids(Response(draw.text, "stop"))


def read_beside(drawn: Group, shown: Sequence[Ids], reference: Ids | None) -> tuple[Group, list[int]]:
    """The drawn branches, and behind them what is to be scored and is not among them (the reference response last);
    and for each drawn one the place of the branch that is scored for it."""
    branches, places = list(drawn.branches), []
    for place, ids in enumerate(shown):
        if ids == drawn.branches[place]:
            places.append(place)
        else:
            places.append(len(branches))
            branches.append(ids)
    return Group(drawn.prompt, tuple(branches) if reference is None else (*branches, reference)), places
