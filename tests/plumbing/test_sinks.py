"""Sinks: the numbers of a step under its own number, and a package that is absent is named with its cure."""

import sys
from pathlib import Path

import pytest

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.sinks import SinkName, import_sinks, open_sinks

from .fake_sinks import fake_sink

STEP = {"step": 3, "reward": 1.5, "heldout_reward": None, "note": "text", "length": 12}
NUMBERS = {"step": 3, "reward": 1.5, "length": 12}


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_run_gets_the_numbers_and_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: SinkName) -> None:
    fake = fake_sink(monkeypatch, name)
    with open_sinks(import_sinks([name]), tmp_path / "ppo", {"seed": 1}) as send:
        send(STEP)
        assert not fake.ended
    assert fake.seen == [(NUMBERS, 3)]
    assert fake.ended == 1
    (begun,) = fake.begun
    assert (begun["project"], begun["config"], begun["resume"]) == ("tutelage", {"seed": 1}, "allow")
    assert ("id" in begun) == (name == "wandb")


def test_the_same_training_goes_on_in_its_run_and_another_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = fake_sink(monkeypatch, "wandb")
    for place, seed in (("ppo", 1), ("ppo", 1), ("ppo", 2), ("other", 1)):
        with open_sinks(import_sinks(["wandb"]), tmp_path / place, {"seed": seed}):
            pass
    ids = [begun["id"] for begun in fake.begun]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(set(one).isdisjoint(r"/\#?%:") for one in ids)


def test_tensorboard_gets_a_scalar_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = fake_sink(monkeypatch, "tensorboard")
    with open_sinks(import_sinks(["tensorboard"]), tmp_path, {}) as send:
        send(STEP)
    assert fake.begun == [{"place": str(tmp_path / "tensorboard")}]
    assert fake.seen == [(name, value, 3) for name, value in NUMBERS.items()]
    assert fake.ended == 1


def test_a_run_is_ended_where_the_training_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fakes = [fake_sink(monkeypatch, name) for name in ("tensorboard", "wandb")]
    with pytest.raises(KeyError), open_sinks(import_sinks(["tensorboard", "wandb"]), tmp_path, {}):
        raise KeyError
    assert [fake.ended for fake in fakes] == [1, 1]


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_package_that_is_absent_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, name: SinkName) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    with pytest.raises(InputError, match=rf"--log {name}: the package {name} is not installed .*; pip install {name}"):
        import_sinks([name])
