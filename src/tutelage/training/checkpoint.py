"""Checkpoints: what an interrupted training goes on from, so that it ends on the same bits."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, replacing, sha256, write_json

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Where a training stood: the metrics of its steps so far, and every tensor that its next step depends on."""

    metrics: list[Metrics]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoints:
    """The place of a training's checkpoint, of which only the last is kept, and how often one is written."""

    place: Path
    identity: Mapping[str, Any]
    """all that decides what the training does: base, settings, seed, data; a checkpoint of another is refused"""
    every: int
    """steps between two checkpoints"""

    @property
    def there(self) -> bool:
        """Whether one is there; a directory without what names its state is none."""
        return (self.place / "progress.json").is_file()

    def load(self) -> Progress | None:
        """The last checkpoint, None if there is none.

        Raises:
            InputError: it is of another training, or damaged.
        """
        if not self.there:
            return None
        content = read_json(self.place / "progress.json")
        if other := differences(content["identity"], self.identity):
            raise InputError(
                f"{self.place}: a checkpoint of another training ({', '.join(other)} differ); "
                "go on with the same command line, or start anew"
            )
        file = self.place / content["state"]
        if not file.is_file() or sha256(file) != content["state_sha256"]:
            raise InputError(f"{file}: missing or damaged; start anew")
        try:
            return Progress(content["metrics"], load_file(file))
        except SafetensorError as error:
            raise InputError(f"{file}: damaged ({error}); start anew") from error

    def save(self, progress: Progress) -> None:
        """Write a checkpoint in the place of the last, whole or not at all.

        There is one at every moment: the new state is written beside the old one, and `progress.json`, which names it,
        is replaced in one step.
        """
        state = self.place / f"state-{len(progress.metrics)}.safetensors"
        with replacing(state) as beside:
            save_file({key: tensor.contiguous() for key, tensor in progress.tensors.items()}, beside)
        write_json(
            self.place / "progress.json",
            {
                "identity": self.identity,
                "metrics": progress.metrics,
                "state": state.name,
                "state_sha256": sha256(state),
            },
        )
        for other in self.place.iterdir():
            if other.name not in (state.name, "progress.json"):
                other.unlink()

    def clear(self) -> None:
        """Take the checkpoint away: the training is done."""
        (self.place / "progress.json").unlink(missing_ok=True)  # first: what is left without it is no checkpoint
        shutil.rmtree(self.place, ignore_errors=True)


def differences(kept: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    """The parts in which the identity that was kept in a file is not this one."""
    mine = json.loads(json.dumps(identity))
    return [key for key in mine if kept.get(key) != mine[key]]
