"""The directory of one training of a policy on rewards.

training.json      all that decides what the training does; at the end how it ended and its result
metrics.jsonl      one line a step, whole after every step
samples.jsonl      prompts with responses and scores of every so many steps
snapshots/step-N   the policy after N steps, where that was asked for
snapshot           the policy at the end
tensorboard, wandb what these tools keep, where the numbers are sent there
checkpoint         what an interrupted training goes on from
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.loop.run import versions
from tutelage.modeling.policy import ADAPTER
from tutelage.modeling.snapshot import save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import is_torn, read_json, read_jsonl, remove_torn, write_json, write_jsonl
from tutelage.plumbing.locks import held
from tutelage.training.checkpoint import Checkpoints, differences
from tutelage.training.policy_settings import KLEstimator
from tutelage.training.rollouts import RolloutBatch
from tutelage.training.watching import sample_dialogues

OURS = (
    "training.json",
    "metrics.jsonl",
    "samples.jsonl",
    "snapshots",
    "snapshot",
    "checkpoint",
    "tensorboard",
    "wandb",
)


@dataclass(frozen=True)
class PolicyRun:
    """A place with what is written there and when."""

    place: Path
    snapshot_at: tuple[int, ...]
    sample_every: int
    sample_prompts: int

    def begin(self, resume: bool, overwrite: bool) -> None:
        """See that the place will do, before any work.

        Raises:
            InputError: it holds something that is not to be replaced, or nothing that could be gone on with.
        """
        begun = (self.place / "training.json").exists()
        finished = begun and "result" in read_json(self.place / "training.json")
        if self.place.exists() and not self.place.is_dir():
            raise InputError(f"--out {self.place}: a file; name a directory")
        if self.place.is_dir() and not begun and not all(map(is_torn, self.place.iterdir())):
            raise InputError(f"--out {self.place}: not empty, and not a training of a policy; name a new directory")
        if resume and (finished or not begun):
            how = "is finished" if finished else "was not begun"
            raise InputError(f"--resume: the training at {self.place} {how}; leave --resume out")
        if resume and overwrite:
            raise InputError("--resume and --overwrite: go on with what is there, or replace it; give one")
        if begun and not resume and not overwrite:
            state = "a training" if finished else "an interrupted training: go on by --resume"
            raise InputError(f"--out {self.place}: holds {state}; name another directory, or replace it by --overwrite")

    def held(self) -> AbstractContextManager[None]:
        """Hold the place: meanwhile no other process trains there.

        Raises:
            InputError: one does.
        """
        return held(self.place, f"--out {self.place}: another process trains there; wait for it, or name another")

    def checkpoints(self, identity: Mapping[str, Any], every: int, overwrite: bool) -> Checkpoints:
        """The run's checkpoints; notes what the training is, or on resuming sees that it is the same. `overwrite`: what
        was there is removed first.

        Raises:
            InputError: it is another.
        """
        remove_torn(self.place)
        if overwrite:
            self._empty()
        file = self.place / "training.json"
        if not file.exists():
            write_json(file, identity)
        elif other := differences(read_json(file), identity):
            raise InputError(
                f"--resume: {self.place} holds another training ({', '.join(other)} differ); "
                "go on with the same command line"
            )
        return Checkpoints(self.place / "checkpoint", identity, every)

    @property
    def noted(self) -> int:
        """Steps in metrics.jsonl: of a training that goes on, more than its checkpoint may have."""
        file = self.place / "metrics.jsonl"
        return sum(1 for _ in read_jsonl(file)) if file.exists() else 0

    def note(
        self, metrics: Sequence[dict[str, Any]], batch: RolloutBatch, trunk: Trunk, lineage: Mapping[str, Any]
    ) -> None:
        """What is written after a step. Written twice (after a kill in between), it is the same."""
        step = metrics[-1]["step"]
        write_jsonl(self.place / "metrics.jsonl", metrics)
        if self.sample_every and step % self.sample_every == 0:
            self._add_samples(step, batch, trunk, lineage["settings"]["kl_estimator"])
        if step + 1 in self.snapshot_at:
            self.save(f"snapshots/step-{step + 1}", trunk, {**lineage, "steps": step + 1})

    def save(self, name: str, trunk: Trunk, lineage: Mapping[str, Any]) -> str:
        """Write the policy as a snapshot; returns the snapshot's name."""
        rank = trunk.adapted_layers[0].rank(ADAPTER)
        return save_snapshot(self.place / name, trunk, ADAPTER, rank, None, lineage).name

    def finish(self, identity: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Note the result, and take the checkpoint away."""
        write_json(self.place / "training.json", {**identity, "result": result, "versions": versions()})
        shutil.rmtree(self.place / "checkpoint", ignore_errors=True)

    def _add_samples(self, step: int, batch: RolloutBatch, trunk: Trunk, estimator: KLEstimator) -> None:
        file = self.place / "samples.jsonl"
        before = [line.record for line in read_jsonl(file)] if file.exists() else []
        more = sample_dialogues(batch, step, self.sample_prompts, trunk.encoder, estimator)
        write_jsonl(file, [record for record in before if record["step"] < step] + more)

    def _empty(self) -> None:
        for name in OURS:
            path = self.place / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
