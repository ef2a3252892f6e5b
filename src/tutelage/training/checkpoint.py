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

    def load(self) -> Progress | None:
        """The last checkpoint, None if there is none.

        Raises:
            InputError: it is of another training, or damaged.
        """
        if not (self.place / "progress.json").is_file():
            return None
        content = read_json(self.place / "progress.json")
        mine = json.loads(json.dumps(self.identity))
        if content["identity"] != mine:
            other = [key for key in mine if content["identity"].get(key) != mine[key]]
            raise InputError(
                f"{self.place}: a checkpoint of another training ({', '.join(other)} differ); "
                "go on with the same command line, or start anew"
            )
        file = self.place / "state.safetensors"
        if not file.is_file() or sha256(file) != content["state_sha256"]:
            raise InputError(f"{file}: missing or damaged; start anew")
        try:
            return Progress(content["metrics"], load_file(file))
        except SafetensorError as error:
            raise InputError(f"{file}: damaged ({error}); start anew") from error

    def save(self, progress: Progress) -> None:
        """Write a checkpoint in the place of the last, whole or not at all."""
        with replacing(self.place) as beside:
            beside.mkdir()
            tensors = {key: tensor.contiguous() for key, tensor in progress.tensors.items()}
            save_file(tensors, beside / "state.safetensors")
            write_json(
                beside / "progress.json",
                {
                    "identity": self.identity,
                    "metrics": progress.metrics,
                    "state_sha256": sha256(beside / "state.safetensors"),
                },
            )

    def clear(self) -> None:
        """Take the checkpoint away: the training is done."""
        shutil.rmtree(self.place, ignore_errors=True)
