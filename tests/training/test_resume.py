"""An interrupted training on rewards ends on the bits of one that was not: killed at any moment, or by Ctrl-C."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.training import checkpoint, ppo, rollouts, update
from tutelage.training.checkpoint import Checkpoints
from tutelage.training.policy_settings import GRPOSettings, PolicySettings, PPOSettings, RLOOSettings
from tutelage.training.ppo import train_on_reward
from tutelage.training.prompt_order import PromptSource

from .planted import prompts, random_preference_model

STEPS = 5
SMALL: dict[str, Any] = {
    "steps": STEPS, "prompts_per_step": 4, "samples_per_prompt": 2, "learning_rate": 2e-2, "rank": 2, "epochs": 2,
    "minibatches": 2, "kl_weight": 0.1, "kl_target": 1.0, "score_scale": "running", "kl_limit": 1e6,
}  # fmt: skip
KINDS: dict[str, PolicySettings] = {
    "ppo": PPOSettings(**SMALL),
    "ppo, critic pm": PPOSettings(**SMALL, critic="pm", value_clip=0.2, reference_decay=0.8),
    "ppo, critic pm, a step a batch": PPOSettings(**{**SMALL, "minibatches": 1, "epochs": 1}, critic="pm"),
    "ppo, critic policy": PPOSettings(**SMALL, critic="policy", critic_pretraining=2),
    "ppo of whole weights": PPOSettings(
        **{**SMALL, "rank": 0}, critic="pm", critic_whole=True, reference_decay=0.8, entropy_bonus=0.1
    ),
    "rloo": RLOOSettings(**SMALL),
    "grpo": GRPOSettings(**SMALL, score_clip=3.0),
}


def train(
    trunk: Trunk, place: Path | None, settings: PolicySettings, on_step: ppo.OnStep = lambda metrics, batch: None
) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """Metrics but for times, and the policy's weights."""
    judge, heldout = (random_preference_model(trunk, name, seed) for name, seed in (("judge", 1), ("heldout", 2)))
    checkpoints = None if place is None else Checkpoints(place, {"settings": repr(settings)}, every=2)
    sources = [PromptSource(prompts(trunk, 6, 3), 2), PromptSource(prompts(trunk, 5, 4), 1)]
    metrics = train_on_reward(
        trunk, "policy", sources, judge, heldout, SamplingParameters(max_tokens=6), settings, 3, on_step, checkpoints
    )
    timeless = [{key: value for key, value in step.items() if "seconds" not in key} for step in metrics]
    return timeless, list(trunk.adapter_tensors("policy").values())


def assert_same(one: tuple[list[Any], list[Tensor]], other: tuple[list[Any], list[Tensor]]) -> None:
    assert one[0] == other[0]
    assert all(torch.equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def in_a_process_that_is_killed(work: Callable[[], Any]) -> None:
    """Do the work in a process of its own, which is to end by SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def nth(original: Callable[..., Any], number: int, act: Callable[[], Any], after: bool = False) -> Callable[..., Any]:
    """The function, which acts at its so-manieth call."""
    calls = 0

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            act()
        result = original(*arguments, **named)
        if calls == number and after:
            act()
        return result

    return counting


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


MOMENTS = {
    "in the first rollouts": (rollouts, "sample", 1, False),
    "between sampling and scoring": (rollouts, "sample", 4, True),
    "in the reference's pass": (rollouts, "branch_logprobs", 3, False),
    "in an update": (update, "policy_loss", 18, False),
    "while the state is written": (checkpoint, "save_file", 2, True),
    "between the state and what names it": (checkpoint, "write_json", 2, False),
    "when the checkpoint is done": (checkpoint, "write_json", 2, True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(
    talker: Trunk, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, number, after = MOMENTS[moment]
    expected = train(talker, None, KINDS["ppo"])

    def killed() -> None:
        setattr(module, name, nth(getattr(module, name), number, kill, after))
        train(talker, tmp_path / "c", KINDS["ppo"])

    in_a_process_that_is_killed(killed)
    assert_same(train(talker, tmp_path / "c", KINDS["ppo"]), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_and_critic_goes_on_to_the_same_bits(talker: Trunk, tmp_path: Path, kind: str) -> None:
    """Killed in the fourth step: two are in the checkpoint, what controllers and running means hold among them."""

    def stop(metrics: Any, batch: Any) -> None:
        if len(metrics) == 4:
            kill()

    expected = train(talker, None, KINDS[kind])
    in_a_process_that_is_killed(lambda: train(talker, tmp_path / "c", KINDS[kind], stop))
    done: list[int] = []
    assert_same(
        train(talker, tmp_path / "c", KINDS[kind], lambda metrics, batch: done.append(metrics[-1]["step"])), expected
    )
    assert done == [2, 3, 4]


@pytest.mark.parametrize(
    ("module", "name", "call", "kept"),
    [(rollouts, "sample", 4, 3), (rollouts, "score_branches", 3, 2), (update, "policy_loss", 9, 2)],
)
def test_ctrl_c_in_mid_step_leaves_a_checkpoint_of_whole_steps(
    talker: Trunk, tmp_path: Path, module: Any, name: str, call: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the update the step is given up, in the update it is done: eight minibatches make two steps."""
    settings = KINDS["ppo"]
    expected = train(talker, None, settings)
    with monkeypatch.context() as patched:
        patched.setattr(module, name, nth(getattr(module, name), call, lambda: signal.raise_signal(signal.SIGINT)))
        with pytest.raises(KeyboardInterrupt):
            train(talker, tmp_path / "c", settings)
    progress = Checkpoints(tmp_path / "c", {"settings": repr(settings)}, every=2).load()
    assert progress is not None
    assert len(progress.metrics) in (kept, kept + 1)
    assert_same(train(talker, tmp_path / "c", settings), expected)


def test_a_training_with_other_settings_does_not_go_on_from_it(talker: Trunk, tmp_path: Path) -> None:
    train(talker, tmp_path / "c", KINDS["rloo"])
    with pytest.raises(Exception, match="another training"):
        train(talker, tmp_path / "c", replace(KINDS["rloo"], clip=0.3))


def test_in_bfloat16_too(talker: Trunk, tmp_path: Path) -> None:
    talker.model.bfloat16()
    settings = replace(KINDS["ppo, critic pm"], max_mismatch=1.0)

    def stop(metrics: Any, batch: Any) -> None:
        if len(metrics) == 4:
            kill()

    expected = train(talker, None, settings)
    in_a_process_that_is_killed(lambda: train(talker, tmp_path / "c", settings, stop))
    assert_same(train(talker, tmp_path / "c", settings), expected)
