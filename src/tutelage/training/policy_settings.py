"""How a policy is trained on rewards: what PPO, RLOO and GRPO share, and what each has of its own.

The defaults are the paper's (Bai et al. 2022, section 4.1), or those of later work where it is silent. An option stands
only where it is honoured: what a method cannot do is no field of its settings, and what contradicts another is refused.
"""

import math
from dataclasses import dataclass
from typing import Literal

from tutelage.plumbing.errors import require_positive
from tutelage.training.schedule import Schedule

KLEstimator = Literal["k1", "k2", "k3"]
KLPlace = Literal["token", "sequence"]
ScoreScale = Literal["none", "running"]
CriticStart = Literal["head", "pm", "policy"]


@dataclass(frozen=True)
class PolicySettings:
    """What all methods share."""

    steps: int = 200
    """batches of rollouts"""
    prompts_per_step: int = 64
    """prompts a batch"""
    samples_per_prompt: int = 4
    """responses to each prompt of a batch; they share its row"""
    learning_rate: float = 1e-5
    """of the policy's adapter"""
    schedule: Schedule = "constant"
    """of the learning rate after the warm-up: `constant`, or `linear` or `cosine` towards 0"""
    warmup: int = 3
    """steps over which the learning rate rises"""
    halve_every: int | None = None
    """responses after which the learning rate is halved, again and again (the paper, online: 100,000); None: never"""
    rank: int = 16
    """rank of the policy's LoRA adapter; 0 trains whole weights (full fine-tuning)"""
    kl_weight: float = 0.02
    """λ_KL; the paper's 0.001 trusts its 52B preference model, a small one is outwitted sooner"""
    kl_estimator: KLEstimator = "k1"
    """KL of a sampled token: `k1` log π/π0; `k2` its square by two; `k3` π0/π - 1 - log π0/π. Trained on and logged"""
    kl_target: float | None = None
    """nats a response that λ_KL is steered towards (Ziegler et al. 2019); None: λ_KL stays"""
    kl_gain: float = 0.1
    """λ_KL rises a step by this times the KL's excess over its target, of which at most 20% count"""
    kl_budget: float | None = None
    """nats a response from the initial policy above which training ends, well and good; None: after all steps"""
    kl_limit: float | None = None
    """nats a response from the initial policy above which training fails, and the last policy below is kept (the loop
    goes on with it)"""
    reference_decay: float | None = None
    """the reference follows the policy by an exponential moving average with this decay a step; None: it stays"""
    clip: float = 0.2
    """ε of the clipped ratio"""
    entropy_bonus: float = 0.0
    """reward of a nat of entropy at each token, in the loss; the paper has none"""
    epochs: int = 1
    """passes over each batch of rollouts (K in the paper: 1, 2 or 4)"""
    minibatches: int = 1
    """optimizer steps a pass"""
    clip_norm: float = 1.0
    """largest norm of a step's gradient"""
    score_clip: float | None = None
    """scores are cut to ± this; None: not at all"""
    score_scale: ScoreScale = "none"
    """`running`: scores are divided by the standard deviation of all scores so far"""
    missing_end_penalty: float = 0.0
    """taken off the score of a response that was cut off at `max_tokens`"""
    truncated_score: float | None = None
    """the score of a response that was cut off, instead of its own (Huang et al. 2024: -1); None: its own"""
    skip_truncated: bool = False
    """nothing is learnt from a response that was cut off"""
    token_budget: int = 2048
    """tokens that pass the trunk at once: less memory if smaller, and the same update"""
    max_mismatch: float = 0.1
    """largest mean gap a token between the sampler's and the trainer's log-probs, nats, at step 0"""

    def __post_init__(self) -> None:
        optional = ("halve_every", "kl_target", "kl_budget", "kl_limit", "score_clip")
        require_positive(
            self, "steps", "prompts_per_step", "samples_per_prompt", "learning_rate", "warmup", "clip", "epochs",
            "kl_gain", "clip_norm", "token_budget", *(name for name in optional if getattr(self, name) is not None),
        )  # fmt: skip
        if not 1 <= self.minibatches <= self.prompts_per_step:
            raise ValueError(f"minibatches must lie between 1 and prompts_per_step, not {self.minibatches}")
        for name in ("rank", "kl_weight", "entropy_bonus", "missing_end_penalty"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.reference_decay is not None and not 0 <= self.reference_decay < 1:
            raise ValueError(f"reference_decay must lie in [0, 1), not {self.reference_decay}")
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, not {value}")
        _refuse_contradictions(self)


@dataclass(frozen=True)
class PPOSettings(PolicySettings):
    """Proximal policy optimisation (Schulman et al. 2017): a critic says what was to be expected from each token on.

    A critic `head` is solved for by least squares, and nothing but its head learns; `pm` is an adapter and head of its
    own that begin as the preference model's; `policy` an adapter that begins as the initial policy, its head at zero.
    """

    kl_place: KLPlace = "token"
    """`token`: the penalty is charged at the token that causes it; `sequence`: all on the last one"""
    delta_reward: bool = False
    """the score counts above that of the prompt's reference response (the chosen one of a comparison)"""
    gamma: float = 1.0
    """discount"""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation"""
    whiten: bool = True
    """advantages of a batch are shifted and scaled to mean 0 and variance 1 over its tokens; False: left as they are"""
    critic: CriticStart = "head"
    """`head`: the preference model's head on its frozen features; `pm`, `policy`: an adapter that begins as these"""
    critic_strength: float = 1.0
    """of `head`: how strongly it is drawn to the preference model's, in steps' worth of evidence"""
    critic_learning_rate: float | None = None
    """of `pm` and `policy`; None: the policy's"""
    value_clip: float | None = None
    """of `pm` and `policy`: how far a value may be moved by one batch; None: as far as it goes"""
    critic_whole: bool = False
    """of `pm` and `policy`: whole weights are trained (embeddings and norms stay the base's), not an adapter"""
    critic_pretraining: int = 0
    """first steps in which the critic alone learns (MOSS); they are among `steps`"""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = (name for name in ("critic_learning_rate", "value_clip") if getattr(self, name) is not None)
        require_positive(self, "critic_strength", *given)
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        if not 0 <= self.critic_pretraining < self.steps:
            raise ValueError(f"critic_pretraining must lie in [0, steps), not {self.critic_pretraining}")
        if self.critic == "head":
            for name in ("critic_learning_rate", "value_clip", "critic_whole"):
                if getattr(self, name) not in (None, False):
                    raise ValueError(f"{name} says nothing to a critic that is solved for; set critic to pm or policy")
        elif self.critic_strength != 1.0:
            raise ValueError("critic_strength says nothing to a critic that is trained; set critic to head")
        if self.value_clip is not None and self.epochs * self.minibatches == 1:
            raise ValueError(
                "value_clip says nothing where a batch is one step: no value has moved yet; set epochs or minibatches"
            )


@dataclass(frozen=True)
class RLOOSettings(PolicySettings):
    """REINFORCE against the mean of the prompt's other responses (Ahmadian et al. 2024): a response is one action.

    The objective stays PPO's, clipped token by token, of which REINFORCE is the first optimizer step on a batch.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_company(self)


@dataclass(frozen=True)
class GRPOSettings(PolicySettings):
    """Group-relative policy optimisation (Shao et al. 2024): the KL penalty is in the loss, not in the reward.

    The loss is a mean over the tokens of a minibatch, not one of each response's own mean: long responses weigh more.
    """

    kl_estimator: KLEstimator = "k3"
    """KL of a sampled token in the loss: `k2` log² π/π0 by two; `k3` π0/π - 1 - log π0/π. Trained on and logged"""
    divide_by_spread: bool = True
    """scores of a prompt's responses are divided by their standard deviation; False: as in Dr. GRPO"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_company(self)
        if self.kl_estimator == "k1":
            raise ValueError("kl_estimator k1 has a gradient of mean 0 in the loss: it holds nothing; set k2 or k3")
        if self.score_scale == "running" and self.divide_by_spread and self.score_clip is None:
            raise ValueError(
                "score_scale says nothing where scores are divided by their group's spread; leave it out, or set "
                "divide_by_spread to False or a score_clip"
            )


def _require_company(settings: PolicySettings) -> None:
    if settings.samples_per_prompt < 2:
        raise ValueError(
            f"samples_per_prompt must be at least 2, not {settings.samples_per_prompt}: each is held against the others"
        )


def _refuse_contradictions(settings: PolicySettings) -> None:
    """Raises ValueError where one option makes another mean nothing."""
    truncated = {
        "missing_end_penalty": settings.missing_end_penalty > 0,
        "truncated_score": settings.truncated_score is not None,
        "skip_truncated": settings.skip_truncated,
    }
    said = [name for name, given in truncated.items() if given]
    if len(said) > 1:
        raise ValueError(f"{said[0]} and {said[1]} say two things of a response that was cut off; give one")
    if settings.halve_every is not None and settings.schedule != "constant":
        raise ValueError(f"halve_every and schedule = {settings.schedule!r} both lower the learning rate; give one")
    if settings.kl_target is None and settings.kl_gain != PolicySettings.kl_gain:
        raise ValueError("kl_gain means nothing without kl_target; set a kl_target")
    if settings.kl_weight == 0:
        for name in ("kl_target", "reference_decay"):
            if getattr(settings, name) is not None:
                raise ValueError(f"{name} means nothing where kl_weight is 0; set a kl_weight")
    if None not in (settings.kl_budget, settings.kl_limit) and settings.kl_limit <= settings.kl_budget:  # type: ignore[operator]
        raise ValueError(f"kl_limit must be above kl_budget = {settings.kl_budget}, not {settings.kl_limit}")
