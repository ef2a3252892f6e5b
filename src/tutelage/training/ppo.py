"""PPO: the policy learns to write what the preference model scores highly, held near where it began by a KL penalty.

Reads beside section 4.1 of Bai et al. 2022:  r_total = r_PM - λ_KL · KL(π ‖ π0), γ = 1, clip 0.2, no entropy bonus.
RLOO and GRPO are the same rows and the same step with another account of who earned the reward (`credit.py`).

The metrics of a step, in this order, where they apply; all are means over the batch that the step began with:
    step, responses            from 0; responses drawn up to and with this step
    reward, reward_spread      the train-PM's score of a response as it gave it (nats of preference), and its deviation
    heldout_reward             the held-out PM's score
    kl, kl_initial, sqrt_kl    KL to the reference, nats a response; to the initial policy, where the reference moves; √
                               of the KL to the initial policy
    kl_weight                  λ_KL in force
    length, truncated          tokens; share of responses that were cut off
    repetition, refusals       share of word triples said before in the same response; of responses that refuse
    explained_variance, value_loss      of the critic before it learnt from the batch; its loss while it learnt
    entropy, clip_fraction, gradient_norm, learning_rate    nats a token; share of tokens; before clipping; in force
    mismatch_p50, _p90, _p99   at step 0: quantiles of the gap between sampler's and trainer's log-probs, nats a token
    seconds, sampling_seconds, rollout_seconds              of the step; of these sampling; sampling and scoring
"""

import time
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.passes import branch_logprobs
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.interrupts import interrupts_held_back
from tutelage.training.checkpoint import Checkpoints, Metrics, Progress
from tutelage.training.learner import Learner
from tutelage.training.policy_settings import PolicySettings, PPOSettings
from tutelage.training.prompt_order import PromptSource, step_plans
from tutelage.training.rewards import check_scores
from tutelage.training.rollouts import PreferenceModel, RolloutBatch
from tutelage.training.watching import text_measures

OnStep = Callable[[Sequence[Metrics], RolloutBatch], None]


class KLLimitPassed(CheckFailed):
    """The policy went beyond `kl_limit`; on the trunk it is again the last one that did not."""


def train_on_reward(
    trunk: Trunk,
    policy: str,
    sources: Sequence[PromptSource],
    train_pm: PreferenceModel,
    heldout: PreferenceModel | None,
    parameters: SamplingParameters,
    settings: PolicySettings,
    seed: int,
    on_step: OnStep = lambda metrics, batch: None,
    checkpoints: Checkpoints | None = None,
    initial: str | None = None,
) -> list[Metrics]:
    """Train a fresh adapter `policy` by PPO, RLOO or GRPO, as the settings are; one batch of rollouts a step.

    It begins as the initial policy, the adapter `initial` (None: the bare trunk), and is held near to it. `train_pm`
    gives the reward; `heldout` is only watched. `on_step` gets the metrics so far and the last step's rollouts. With
    `checkpoints`, training goes on from the last one: on CPU to the same bits as without a break; Ctrl-C leaves one of
    all finished steps.

    Raises:
        InputError: no prompts of a kind that is wanted, an option that cannot be honoured, another training's
            checkpoint.
        CheckFailed: the untrained policy is not the reference, sampler and trainer disagree, scores say nothing, or the
            gradient is not a number.
        KLLimitPassed: see there.
    """
    _require_honourable(parameters, settings, sources)
    learner = Learner(trunk, policy, initial, train_pm, heldout, parameters, settings, seed)
    metrics = _go_on(learner, checkpoints)
    plans = islice(step_plans(sources, settings, seed), len(metrics), None)
    try:
        while len(metrics) < settings.steps and not _budget_is_spent(metrics, settings):
            step, started, plan = len(metrics), time.perf_counter(), next(plans)
            batch = learner.draw(plan, step)
            measured = _measure(learner, batch, step, settings)
            checked = check_first_step(trunk, policy, batch, parameters, settings) if step == 0 else {}
            sampled = time.perf_counter()
            # What is learnt from a batch is learnt whole or not at all: a Ctrl-C is heard before or after.
            with interrupts_held_back():
                if not _budget_is_spent([measured], settings):
                    measured |= learner.learn(batch, plan, measured)
                now = time.perf_counter()
                seconds = {"sampling_seconds": batch.sampling_seconds, "rollout_seconds": sampled - started}
                metrics.append({**measured, **checked, "seconds": now - started, **seconds})
                on_step(metrics, batch)
                if checkpoints is not None and (step + 1) % checkpoints.every == 0:
                    checkpoints.save(Progress(metrics, learner.state_tensors()))
        if settings.kl_limit is not None and not _budget_is_spent(metrics, settings):
            # What the last update has led to is seen in no batch but this one.
            _measure(learner, learner.draw(next(plans), settings.steps), settings.steps, settings)
    except KeyboardInterrupt:
        if checkpoints is not None:
            checkpoints.save(Progress(metrics, learner.state_tensors()))
        raise
    return metrics


def _measure(learner: Learner, batch: RolloutBatch, step: int, settings: PolicySettings) -> Metrics:
    """What is seen of a batch before anything is learnt from it.

    Raises:
        CheckFailed: its scores say nothing.
        KLLimitPassed: the policy has gone too far.
    """
    check_scores(batch, step)
    measured = {"step": step, "responses": (step + 1) * len(batch.flat), **describe(batch, settings)}
    distance = _distance(measured)
    if settings.kl_limit is not None and distance > settings.kl_limit:
        learner.step_back()
        raise KLLimitPassed(
            f"before step {step} the policy is {distance:.2f} nats a response from the initial one, beyond kl_limit = "
            f"{settings.kl_limit} (raise kl_weight or lower the learning rate); the policy of the step before is kept"
        )
    return {**measured, "kl_weight": learner.kl_weight}


def _require_honourable(
    parameters: SamplingParameters, settings: PolicySettings, sources: Sequence[PromptSource]
) -> None:
    if not parameters.trainable:
        raise InputError(
            "sampling must be without top_p, top_k and min_p, at a temperature above 0: what is left out has no "
            "log-prob to learn from"
        )
    if isinstance(settings, PPOSettings) and settings.delta_reward and not all(source.references for source in sources):
        raise InputError("delta_reward needs a reference response to every prompt; give comparisons as prompts")


def _go_on(learner: Learner, checkpoints: Checkpoints | None) -> list[Metrics]:
    """Put the last checkpoint's state in place; returns the metrics of the steps that were done."""
    progress = checkpoints.load() if checkpoints is not None else None
    if progress is None:
        return []
    learner.load_state_tensors(progress.tensors)
    return progress.metrics


def _distance(measured: Metrics) -> float:
    """KL to the initial policy, nats a response."""
    distance: float = measured["kl_initial"] if "kl_initial" in measured else measured["kl"]
    return distance


def _budget_is_spent(metrics: Sequence[Metrics], settings: PolicySettings) -> bool:
    return settings.kl_budget is not None and bool(metrics) and _distance(metrics[-1]) > settings.kl_budget


def check_first_step(
    trunk: Trunk, policy: str, batch: RolloutBatch, parameters: SamplingParameters, settings: PolicySettings
) -> Metrics:
    """Before the first update: KL(policy ‖ reference) = 0 and ratio = 1 exactly by the trainer's own log-probs, and
    the sampler's log-probs within their bound of the trainer's."""
    own = branch_logprobs(trunk, policy, batch.groups, parameters.temperature)
    gaps = []
    for rollouts, row in zip(batch.rollouts, own, strict=True):
        for rollout, logprobs in zip(rollouts, row, strict=True):
            if not np.array_equal(logprobs, rollout.reference_logprobs):
                raise CheckFailed("before the first update the policy is not the reference: KL is not 0 exactly")
            gaps.append(np.abs(rollout.old_logprobs - logprobs))
    gap = np.concatenate(gaps)
    if not gap.mean() <= settings.max_mismatch:
        raise CheckFailed(
            f"sampler and trainer differ by {gap.mean():.3f} nats a token on average (bound {settings.max_mismatch})"
        )
    return {f"mismatch_p{q}": float(np.quantile(gap, q / 100)) for q in (50, 90, 99)}


def describe(batch: RolloutBatch, settings: PolicySettings) -> Metrics:
    """What is watched at every step: means over responses; KL in nats a response."""
    rollouts = batch.flat
    kl = float(np.mean([rollout.kl_t(settings.kl_estimator).sum() for rollout in rollouts]))
    initial = float(np.mean([rollout.distance_t(settings.kl_estimator).sum() for rollout in rollouts]))
    scores = np.array([rollout.score for rollout in rollouts])
    heldout = [rollout.heldout_score for rollout in rollouts if rollout.heldout_score is not None]
    return {
        "reward": float(np.mean(scores)),
        "reward_spread": float(np.std(scores)),
        **({"heldout_reward": float(np.mean(heldout))} if heldout else {}),
        "kl": kl,
        **({"kl_initial": initial} if settings.reference_decay is not None else {}),
        "sqrt_kl": float(np.sqrt(max(initial, 0.0))),
        "length": float(np.mean([len(rollout.sample.ids) for rollout in rollouts])),
        "truncated": float(np.mean([rollout.truncated for rollout in rollouts])),
        **text_measures([rollout.sample.text for rollout in rollouts]),
    }
