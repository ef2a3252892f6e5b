"""A whole step of each method, number by number, against a slow and obvious one in NumPy, on a toy policy: a table of
logits of the next token by the last one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.rows import Group, Rows, lay
from tutelage.sampling.sampler import Sample
from tutelage.training.advantages import Floats
from tutelage.training.learner import Learner
from tutelage.training.policy_settings import GRPOSettings, PolicySettings, PPOSettings, RLOOSettings
from tutelage.training.prompt_order import StepPlan
from tutelage.training.rollouts import PreferenceModel, Rollout, RolloutBatch

VOCABULARY, WIDTH, TEMPERATURE = 7, 4, 0.7
SAMPLING = SamplingParameters(temperature=TEMPERATURE)
COMMON: dict[str, Any] = {
    "prompts_per_step": 4, "samples_per_prompt": 3, "learning_rate": 0.05, "warmup": 1, "kl_weight": 0.3, "clip": 0.1,
    "epochs": 2, "minibatches": 2, "clip_norm": 0.5, "score_clip": 1.0, "missing_end_penalty": 0.4,
}  # fmt: skip


class Toy:
    """What training needs of a trunk."""

    device = torch.device("cpu")

    def __init__(self, table: Floats) -> None:
        self.table = nn.Parameter(torch.from_numpy(table).float())

    def add_adapter(self, name: str, rank: int, seed: int) -> None: ...

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        return {"table": self.table}

    @contextmanager
    def using(self, name: str, trained: bool) -> Iterator[None]:
        yield

    def batches(self, lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
        yield from ([place] for place in range(len(lengths)))

    def lay(self, groups: Sequence[Group]) -> Rows:
        return lay(groups)

    def hidden_RLD(self, rows: Rows) -> Tensor:
        return nn.functional.one_hot(rows.ids_RL, VOCABULARY).float()

    def logprobs_T(
        self, hidden_RLD: Tensor, rows: Rows, temperature: float, entropy_learns: bool = False
    ) -> tuple[Tensor, Tensor]:
        logprobs_TV = (hidden_RLD.flatten(0, 1)[rows.before_T] @ self.table / temperature).log_softmax(-1)
        entropy_T = -(logprobs_TV.exp() * logprobs_TV).sum(-1)
        return logprobs_TV.gather(1, rows.targets_T[:, None])[:, 0], entropy_T if entropy_learns else entropy_T.detach()


def some_rollouts(rng: np.random.Generator) -> RolloutBatch:
    def one() -> Rollout:
        tokens = int(rng.integers(1, 5))
        ids = tuple(rng.integers(0, VOCABULARY, tokens).tolist())
        old, reference = rng.normal(-2, 0.4, (2, tokens))
        finish = rng.choice(["stop", "length"])
        return Rollout(
            Sample(ids, tuple(old), "", finish), rng.normal(), None, None, old, reference, reference,
            rng.normal(size=(tokens, WIDTH)),
        )  # fmt: skip

    prompts = [tuple(rng.integers(0, VOCABULARY, 3).tolist()) for _ in range(4)]
    return RolloutBatch(prompts, [[one() for _ in range(3)] for _ in prompts])


def obvious_scores(row: list[Rollout]) -> list[float]:
    scores = [rollout.score - (0.4 if rollout.sample.finish == "length" else 0.0) for rollout in row]
    return [min(max(score, -1.0), 1.0) for score in scores]


def obvious_advantages(batch: RolloutBatch, settings: PolicySettings, head: ScoreHead) -> list[list[Floats]]:
    result = []
    for row in batch.rollouts:
        scores, kl = obvious_scores(row), [r.old_logprobs - r.reference_logprobs for r in row]
        if isinstance(settings, PPOSettings):
            result.append([obvious_gae(r, s, k, settings, head) for r, s, k in zip(row, scores, kl, strict=True)])
            continue
        if isinstance(settings, RLOOSettings):
            rewards = [s - settings.kl_weight * k.sum() for s, k in zip(scores, kl, strict=True)]
            relative = [r - np.mean(rewards[:i] + rewards[i + 1 :]) for i, r in enumerate(rewards)]
        else:
            spread = np.std(scores, ddof=1)
            relative = [(s - np.mean(scores)) / spread if spread else 0.0 for s in scores]
        result.append([np.full(len(r.sample.ids), value) for r, value in zip(row, relative, strict=True)])
    if isinstance(settings, PPOSettings):
        tokens = np.concatenate([tokens for row in result for tokens in row])
        result = [[(part - tokens.mean()) / tokens.std() for part in row] for row in result]
    return result


def obvious_gae(rollout: Rollout, score: float, kl: Floats, settings: PPOSettings, head: ScoreHead) -> Floats:
    weight, scale = head.weight.detach().double().numpy(), head.scale.double().numpy()
    assert rollout.features is not None
    values = [float(weight @ (features / scale)) - float(head.offset) for features in rollout.features] + [0.0]
    rewards = [-settings.kl_weight * k for k in kl]
    rewards[-1] += score
    surprises = [rewards[t] + settings.gamma * values[t + 1] - values[t] for t in range(len(rewards))]
    decay = settings.gamma * settings.gae_lambda
    return np.array([sum(decay**k * s for k, s in enumerate(surprises[t:])) for t in range(len(surprises))])


def obvious_gradient(
    table: Floats, batch: RolloutBatch, advantages: list[list[Floats]], part: Sequence[int], settings: PolicySettings
) -> Floats:
    gradient, tokens = np.zeros_like(table), 0
    for place in part:
        for rollout, advantage in zip(batch.rollouts[place], advantages[place], strict=True):
            last = batch.prompts[place][-1]
            for t, token in enumerate(rollout.sample.ids):
                chances = np.exp(table[last] / TEMPERATURE)
                chances /= chances.sum()
                ratio = np.exp(np.log(chances[token]) - rollout.old_logprobs[t])
                beyond = ratio > 1 + settings.clip if advantage[t] > 0 else ratio < 1 - settings.clip
                slope = 0.0 if beyond else ratio * advantage[t]
                if isinstance(settings, GRPOSettings):  # of k3: π0/π - 1 - log π0/π
                    slope -= settings.kl_weight * (1 - np.exp(rollout.reference_logprobs[t]) / chances[token])
                gradient[last] -= slope * (np.eye(VOCABULARY)[token] - chances) / TEMPERATURE
                entropy = -(chances * np.log(chances)).sum()
                gradient[last] += settings.entropy_bonus * chances * (np.log(chances) + entropy) / TEMPERATURE
                last, tokens = token, tokens + 1
    gradient /= tokens
    return gradient * min(1.0, settings.clip_norm / (np.linalg.norm(gradient) + 1e-6))


def obvious_step(
    table: Floats, batch: RolloutBatch, plan: StepPlan, settings: PolicySettings, head: ScoreHead
) -> Floats:
    """The table after AdamW (β 0.9, 0.95; no decay) on the clipped objective."""
    table, advantages = table.copy(), obvious_advantages(batch, settings, head)
    first, second = np.zeros_like(table), np.zeros_like(table)
    for number, part in enumerate(plan.minibatches, start=1):
        gradient = obvious_gradient(table, batch, advantages, part.tolist(), settings)
        first = 0.9 * first + 0.1 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        table -= settings.learning_rate * (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.95**number)) + 1e-8)
    return table


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("entropy_bonus", [0.0, 0.5])
@pytest.mark.parametrize("kind", [PPOSettings, RLOOSettings, GRPOSettings])
def test_a_step_is_number_by_number_the_obvious_one(
    kind: type[PolicySettings], entropy_bonus: float, seed: int
) -> None:
    rng, settings = np.random.default_rng(seed), kind(**COMMON, entropy_bonus=entropy_bonus)
    table, batch = rng.normal(size=(VOCABULARY, VOCABULARY)), some_rollouts(rng)
    head = ScoreHead(WIDTH, "last")
    head.weight.data.normal_(generator=torch.Generator().manual_seed(seed))
    head.scale.fill_(2.0)
    head.offset.fill_(0.5)
    plan = StepPlan([], [], [rng.permutation(4)[:2] for _ in range(4)])
    expected = obvious_step(table.astype(np.float32).astype(np.float64), batch, plan, settings, head)

    toy: Any = Toy(table)
    learner = Learner(toy, "policy", None, PreferenceModel("judge", head), None, SAMPLING, settings, 0)
    measured = learner.learn(batch, plan, {"step": 0, "kl": 0.0})
    np.testing.assert_allclose(toy.table.detach().numpy(), expected, atol=2e-5)
    assert np.abs(expected - table).max() > 0.1
    assert 0.1 < measured["clip_fraction"] < 0.9


def test_a_heavier_kl_penalty_in_the_loss_pulls_towards_the_reference() -> None:
    """GRPO with scores that are all the same but for their KL: only the penalty moves the policy."""
    rng = np.random.default_rng(0)
    batch = some_rollouts(rng)
    same = RolloutBatch(batch.prompts, [[replace(r, score=1.0) for r in row] for row in batch.rollouts])
    head, table = ScoreHead(WIDTH, "last"), np.zeros((VOCABULARY, VOCABULARY))
    plan = StepPlan([], [], [np.arange(4)] * 20)
    gaps = []
    for weight in (0.0, 1.0):
        settings = GRPOSettings(**{**COMMON, "kl_weight": weight, "missing_end_penalty": 0.0})
        toy: Any = Toy(table)
        Learner(toy, "policy", None, PreferenceModel("judge", head), None, SAMPLING, settings, 0).learn(
            same, plan, {"step": 0, "kl": 0.0}
        )
        rows = lay(same.groups)
        logprobs = toy.logprobs_T(toy.hidden_RLD(rows), rows, TEMPERATURE)[0].detach().numpy()
        reference = np.concatenate([r.reference_logprobs for r in same.flat])
        gaps.append(float((np.exp(reference - logprobs) - 1 - (reference - logprobs)).mean()))
    assert gaps[1] < 0.9 * gaps[0]
