"""Best-of-n, or rejection sampling: of n answers the preference model's favourite is shown, or learnt from.

Bai et al. 2022 deploy such models (n = 4 … 64, section 4.3) and compare them with RLHF. The same n answers to each
prompt tell what the best of every k ≤ n is worth, without bias. To learn from the favourites is a single round of
expert iteration: they are demonstrations, and the step is that of `demonstrations.py`.
P prompts, N samples a prompt.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.passes import branch_logprobs, score_branches
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed
from tutelage.sampling.sampler import Sample, sample
from tutelage.statistics.best_of import best_of_curve, best_of_kl
from tutelage.statistics.intervals import mean_interval
from tutelage.training.advantages import Floats
from tutelage.training.checkpoint import Metrics
from tutelage.training.demonstrations import Demonstration, DemonstrationSettings, train_on_demonstrations
from tutelage.training.losses import kl_T
from tutelage.training.rollouts import PreferenceModel, shown_ids
from tutelage.training.watching import text_measures

ROW_BRANCHES = 8  # answers that share their prompt's row when they are scored: attention costs the row's length squared
PROMPTS_AT_ONCE = 8  # prompts between two reports of progress


@dataclass(frozen=True)
class Choice:
    """All answers to a prompt with their scores (N,) by the train-PM, and by the held-out PM if there is one."""

    prompt: tuple[int, ...]
    samples: list[Sample]
    scores: Floats
    heldout_scores: Floats | None

    @property
    def best(self) -> Sample:
        return self.samples[int(np.argmax(self.scores))]

    @property
    def demonstration(self) -> Demonstration:
        """The favourite as something to learn: the very ids that were sampled, behind the prompt."""
        ids = self.best.ids
        return Demonstration(self.prompt + ids, (False,) * len(self.prompt) + (True,) * len(ids))


def choose(
    trunk: Trunk,
    policy: str | None,
    prompts: Sequence[tuple[int, ...]],
    n: int,
    parameters: SamplingParameters,
    seed: int,
    train_pm: PreferenceModel,
    heldout: PreferenceModel | None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Choice]:
    """`n` answers of the policy (None: the base) to each prompt, scored; `on_done` hears of prompts that are done.

    Raises:
        InputError: a prompt leaves no room for an answer.
        CheckFailed: a score is not a number, or all are the same.
    """
    choices = []
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        part = prompts[start : start + PROMPTS_AT_ONCE]
        with trunk.using(policy):
            samples = sample(trunk, part, n, parameters, seed + start)
        scores = scores_of(trunk, train_pm, part, samples)
        watched = scores_of(trunk, heldout, part, samples) if heldout else [None] * len(part)
        choices += [Choice(*row) for row in zip(part, samples, scores, watched, strict=True)]
        on_done(len(part))
    if len(choices) > 1 and np.ptp([choice.scores for choice in choices]) == 0:
        raise CheckFailed(
            f"the preference model {train_pm.adapter!r} gives every answer the same score (was it trained?); there is "
            "nothing to choose by"
        )
    return choices


def scores_of(
    trunk: Trunk, model: PreferenceModel, prompts: Sequence[tuple[int, ...]], samples: Sequence[Sequence[Sample]]
) -> list[Floats]:
    """The model's scores (N,) of the samples of each prompt.

    Raises:
        CheckFailed: one is not a number.
    """
    groups = [
        Group(prompt, tuple(shown_ids(trunk.encoder, draw) for draw in row[start : start + ROW_BRANCHES]))
        for prompt, row in zip(prompts, samples, strict=True)
        for start in range(0, len(row), ROW_BRANCHES)
    ]
    flat = np.array([score for row in score_branches(trunk, model.adapter, model.head, groups) for score in row])
    if not np.isfinite(flat).all():
        raise CheckFailed(f"a score of the preference model {model.adapter!r} is not a number; train it anew")
    return list(flat.reshape(len(prompts), -1))


def best_of_table(choices: Sequence[Choice]) -> list[Metrics]:
    """What the best of k is worth for k = 1 … N: KL (nats), mean score by either PM with 95% intervals over prompts, of
    which there are two at least."""
    scores_PN = np.stack([choice.scores for choice in choices])
    curves = {"reward": best_of_curve(scores_PN, scores_PN)}
    if watched := _watched(choices):
        curves["heldout_reward"] = best_of_curve(scores_PN, np.stack(watched))
    return [
        {"k": k, "kl": best_of_kl(k), **{name: _mean(curve_PN[:, k - 1]) for name, curve_PN in curves.items()}}
        for k in range(1, scores_PN.shape[1] + 1)
    ]


def _watched(choices: Sequence[Choice]) -> list[Floats]:
    return [choice.heldout_scores for choice in choices if choice.heldout_scores is not None]


def _mean(values_P: Floats) -> dict[str, float]:
    return asdict(mean_interval(values_P, range(len(values_P))))


def learn_from_best(
    trunk: Trunk,
    policy: str,
    choices: Sequence[Choice],
    settings: DemonstrationSettings,
    temperature: float,
    seed: int,
    on_step: Callable[[int, Metrics], None] = lambda answers, metrics: None,
) -> list[Metrics]:
    """Train a fresh adapter `policy` on the favourites; returns the loss curve of `train_on_demonstrations`.

    `temperature` is that of the answers: the policy that learns is the one that will be sampled.
    """
    favourites = [[choice.demonstration] for choice in choices]
    return train_on_demonstrations(trunk, policy, favourites, settings, seed, on_step, temperature)


def measure_policy(
    trunk: Trunk,
    policy: str | None,
    prompts: Sequence[tuple[int, ...]],
    parameters: SamplingParameters,
    seed: int,
    train_pm: PreferenceModel,
    heldout: PreferenceModel | None,
    n: int = 4,
) -> Metrics:
    """What a policy is like on prompts: `describe_choices` of `n` answers to each."""
    choices = choose(trunk, policy, prompts, n, parameters, seed, train_pm, heldout)
    return describe_choices(trunk, choices, parameters.temperature)


def describe_choices(trunk: Trunk, choices: Sequence[Choice], temperature: float) -> Metrics:
    """What the answers are like: mean scores with 95% intervals over prompts, KL from the base (nats a response, k1),
    length in tokens, share cut off, repetition, refusals."""
    groups = [Group(choice.prompt, tuple(draw.ids for draw in choice.samples)) for choice in choices]
    reference = branch_logprobs(trunk, None, groups, temperature)
    drawn = [draw for choice in choices for draw in choice.samples]
    kl = [
        float(kl_T(torch.tensor(draw.logprobs, dtype=torch.float64), torch.from_numpy(logprobs)).sum())
        for choice, row in zip(choices, reference, strict=True)
        for draw, logprobs in zip(choice.samples, row, strict=True)
    ]
    scores = {"reward": [choice.scores for choice in choices]}
    if watched := _watched(choices):
        scores["heldout_reward"] = watched
    return {
        **{name: _mean(np.mean(rows, axis=1)) for name, rows in scores.items()},
        "kl": float(np.mean(kl)),
        "length": float(np.mean([len(draw.ids) for draw in drawn])),
        "truncated": float(np.mean([draw.finish == "length" for draw in drawn])),
        **text_measures([draw.text for draw in drawn]),
    }
