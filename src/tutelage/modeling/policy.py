"""Policies by name: a base as it is, or a snapshot on its base."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tutelage.modeling.base import Device, load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.snapshot import load_snapshot, read_card
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError

ADAPTER = "policy"


@dataclass(frozen=True)
class Policy:
    """A policy on a trunk of its own. `adapter` None: the bare base; `name`: the snapshot's, or the base's."""

    trunk: Trunk
    adapter: str | None
    name: str


def load_policy(
    place: str,
    dialogue_format: DialogueFormat | None = None,
    dtype: torch.dtype | None = None,
    device: Device = "cpu",
) -> Policy:
    """A policy from a snapshot directory, or a base by name, directory or hub id.

    `dialogue_format`, `dtype`: None is what a snapshot was trained with; of a base, its chat template and bfloat16.

    Raises:
        InputError: no such model, a snapshot of a preference model or of another base, or a format for a snapshot,
            which has its own.
    """
    if not (Path(place) / "snapshot.json").exists():
        trunk = load_base(place, dialogue_format or DialogueFormat(), dtype or torch.bfloat16, device)
        return Policy(trunk, None, trunk.name)
    card = read_card(Path(place))
    if card.role != "policy":
        raise InputError(f"{place}: expected a policy, found a {card.role} model, which scores and does not write")
    if dialogue_format not in (None, card.format):
        raise InputError(f"{place}: a snapshot has the format that it was trained in ({card.format}); give no other")
    trunk = load_base(card.base, card.format, dtype or getattr(torch, card.lineage.get("dtype", "bfloat16")), device)
    load_snapshot(Path(place), trunk, ADAPTER)
    if card.layers is not None:
        trunk.cut(card.layers)
    return Policy(trunk, ADAPTER, card.name)
