"""Checkpoints: an interrupted training ends on the bits of one that was not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.training.checkpoint import Checkpoints, Progress
from tutelage.training.preference import Metrics, Trained, train_preference_model

from .planted import PREFERENCE, planted

SETTINGS = replace(PREFERENCE, schedule="cosine", epochs=2)


class Killed(BaseException):
    """What no handler of ours catches, as kill -9."""


def train(trunk: Trunk, checkpoints: Checkpoints | None, killed_at: int | None = None) -> Trained:
    steps = 0

    def on_step(pairs: int, metrics: Metrics) -> None:
        nonlocal steps
        steps += 1
        if steps == killed_at:
            raise Killed

    return train_preference_model(
        trunk, "pm", planted(40, 0), SETTINGS, seed=3, on_step=on_step, checkpoints=checkpoints
    )


def weights(trunk: Trunk, trained: Trained) -> list[torch.Tensor]:
    return [*trunk.adapter_tensors("pm").values(), *trained.head.state_dict().values()]


@pytest.mark.parametrize("killed_at", [1, 4, 5, 9])
def test_killed_and_gone_on_with_gives_the_same_bits(tiny: Trunk, tmp_path: Path, killed_at: int) -> None:
    whole = train(tiny, None)
    expected = weights(tiny, whole)
    checkpoints = Checkpoints(tmp_path / "c", {"seed": 3}, every=2)
    with pytest.raises(Killed):
        train(tiny, checkpoints, killed_at)
    progress = checkpoints.load()
    assert (len(progress.metrics) if progress else 0) == 2 * ((killed_at - 1) // 2)
    resumed = train(tiny, checkpoints)
    assert resumed.metrics == whole.metrics
    assert all(torch.equal(a, b) for a, b in zip(weights(tiny, resumed), expected, strict=True))


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "c", {"seed": 3, "data": ["a"]}, 1).save(Progress([], {"x": torch.zeros(1)}))
    with pytest.raises(InputError, match="another training \\(data differ"):
        Checkpoints(tmp_path / "c", {"seed": 3, "data": ["b"]}, 1).load()


@pytest.mark.parametrize("damage", [b"", b"torn"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: bytes) -> None:
    checkpoints = Checkpoints(tmp_path / "c", {}, 1)
    assert checkpoints.load() is None
    checkpoints.save(Progress([{"step": 0}], {"x": torch.arange(3.0)}))
    progress = checkpoints.load()
    assert progress is not None
    assert torch.equal(progress.tensors["x"], torch.arange(3.0))
    (tmp_path / "c" / "state-1.safetensors").write_bytes(damage)
    with pytest.raises(InputError, match="missing or damaged"):
        checkpoints.load()


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path / "c", {}, 1)
    checkpoints.save(Progress([{"step": 0}], {"x": torch.zeros(1)}))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tutelage.training.checkpoint.save_file", full)
    with pytest.raises(InputError, match="No space left"):
        checkpoints.save(Progress([{"step": 0}, {"step": 1}], {"x": torch.ones(1)}))
    progress = checkpoints.load()
    assert progress is not None
    assert (len(progress.metrics), float(progress.tensors["x"])) == (1, 0.0)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["progress.json", "state-1.safetensors"]
