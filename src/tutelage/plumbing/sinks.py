"""Where the numbers of metrics.jsonl may go besides: TensorBoard, trackio, wandb, each imported only if asked for."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from tutelage.plumbing.errors import InputError

SinkName = Literal["tensorboard", "trackio", "wandb"]
PROJECT = "tutelage"

Send = Callable[[Mapping[str, Any]], None]
Log = Callable[[Mapping[str, float], int], None]


def import_sinks(names: Sequence[SinkName]) -> dict[SinkName, Any]:
    """The modules that these sinks need, so that a package that is absent is noticed before any work.

    Raises:
        InputError: one is not installed.
    """
    return {name: _imported(name) for name in names}


def _imported(name: SinkName) -> Any:
    try:
        return import_module("torch.utils.tensorboard" if name == "tensorboard" else name)
    except ImportError as error:
        raise InputError(
            f"--log {name}: the package {name} is not installed ({error}); pip install {name}, or leave it out"
        ) from error


@contextmanager
def open_sinks(modules: Mapping[SinkName, Any], place: Path, about: Mapping[str, Any]) -> Iterator[Send]:
    """Within, the numbers of a step's metrics can be sent to each of these, under the step's own number.

    A training is known there by its directory `place` and by what it is (`about`): the same one goes on where it was.
    """
    with ExitStack() as opened:
        logs = [opened.enter_context(_OPEN[name](module, place, about)) for name, module in modules.items()]

        def send(step: Mapping[str, Any]) -> None:
            numbers = {key: value for key, value in step.items() if isinstance(value, int | float)}
            for log in logs:
                log(numbers, step["step"])

        yield send


@contextmanager
def _tensorboard(module: Any, place: Path, about: Mapping[str, Any]) -> Iterator[Log]:
    with module.SummaryWriter(str(place / "tensorboard")) as writer:

        def log(numbers: Mapping[str, float], step: int) -> None:
            for name, value in numbers.items():
                writer.add_scalar(name, value, step)
            writer.flush()

        yield log


@contextmanager
def _run(module: Any, place: Path, about: Mapping[str, Any], knows_ids: bool) -> Iterator[Log]:
    """trackio and wandb have the same calls; but a run of trackio is known by its name, one of wandb by an id."""
    known = f"{place.name}-{hashlib.sha256(json.dumps([str(place), about]).encode()).hexdigest()[:8]}"
    more = {"id": known, "dir": str(place)} if knows_ids else {}
    run = module.init(project=PROJECT, name=known, config=dict(about), resume="allow", **more)
    try:
        yield lambda numbers, step: run.log(dict(numbers), step=step)
    finally:
        run.finish()


_OPEN: dict[SinkName, Callable[[Any, Path, Mapping[str, Any]], AbstractContextManager[Log]]] = {
    "tensorboard": _tensorboard,
    "trackio": partial(_run, knows_ids=False),
    "wandb": partial(_run, knows_ids=True),
}
