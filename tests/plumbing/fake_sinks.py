"""Stand-ins for trackio, wandb and TensorBoard."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tutelage.plumbing.sinks import SinkName


class Fake:
    """What trackio, wandb and torch.utils.tensorboard have of what is called; notes what reaches it."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.seen: list[tuple[Any, ...]] = []
        self.ended = 0
        self.breaks_at: int | None = None

    def init(self, **given: Any) -> SimpleNamespace:
        self.begun.append(given)
        return SimpleNamespace(log=self.log, finish=self.finish)

    def log(self, numbers: dict[str, Any], step: int) -> None:
        self.seen.append((numbers, step))
        if step == self.breaks_at:
            raise BrokenPipeError

    def finish(self) -> None:
        self.ended += 1

    def writer(self, place: str) -> "Fake":
        self.begun.append({"place": place})
        return self

    def __enter__(self) -> "Fake":
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.seen.append((name, value, step))

    def flush(self) -> None: ...


def fake_sink(monkeypatch: pytest.MonkeyPatch, name: SinkName) -> Fake:
    """The fake in the place of the package."""
    fake, module = Fake(), ModuleType(name)
    vars(module).update(init=fake.init, SummaryWriter=fake.writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, module)
    return fake
