"""A snapshot: an immutable model on disk, named by the hash of its weights, with its lineage.

A directory with `snapshot.json` and `weights.safetensors` (the adapter, and the score head of a preference model).
The base is not copied: it is named with the hash of its weights, and a snapshot is refused on any other.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.heads import Pooling, ScoreHead
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, replacing, sha256, write_json

HEAD_PREFIX = "score_head."


@dataclass(frozen=True)
class SnapshotCard:
    """What `snapshot.json` holds."""

    role: Literal["policy", "preference"]
    base: str
    base_hash: str
    fingerprint: str
    format: DialogueFormat
    rank: int
    pooling: Pooling | None = None
    layers: int | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def read(self) -> list[Mapping[str, Any]]:
        """What the model, and the one that it began from, was made of, as far as the lineage says."""
        return [*self.lineage.get("data", []), *self.lineage.get("initial_data", [])]

    weights_hash: str = ""

    @property
    def name(self) -> str:
        return self.weights_hash[:12]


def save_snapshot(
    place: Path,
    trunk: Trunk,
    adapter: str,
    rank: int,
    head: ScoreHead | None,
    lineage: Mapping[str, Any],
    layers: int | None = None,
) -> SnapshotCard:
    """Write an adapter (and head) as a snapshot, whole or not at all.

    `layers`: of a policy that is but the first layers of the base; a head knows its own.

    Raises:
        InputError: the place cannot be written.
    """
    tensors = {key: value.contiguous() for key, value in trunk.adapter_tensors(adapter).items()}
    if head is not None:
        tensors |= {HEAD_PREFIX + key: value.contiguous() for key, value in head.state_dict().items()}
    with replacing(place) as beside:
        beside.mkdir()
        save_file(tensors, beside / "weights.safetensors")
        card = SnapshotCard(
            role="policy" if head is None else "preference",
            base=trunk.name, base_hash=trunk.weights_hash, fingerprint=trunk.encoder.fingerprint,
            format=trunk.encoder.format, rank=rank,
            pooling=head.pooling if head else None, layers=head.layers if head else layers, lineage=dict(lineage),
            weights_hash=sha256(beside / "weights.safetensors"),
        )  # fmt: skip
        write_json(beside / "snapshot.json", asdict(card))
    return card


def read_card(place: Path) -> SnapshotCard:
    """The card of a snapshot directory.

    Raises:
        InputError: no snapshot there, or one of another version.
    """
    content = read_json(place / "snapshot.json")
    try:
        return SnapshotCard(**{**content, "format": DialogueFormat(**content["format"])})
    except (TypeError, KeyError) as error:
        raise InputError(f"{place / 'snapshot.json'}: not a snapshot of this version ({error})") from error


def load_snapshot(place: Path, trunk: Trunk, adapter: str, encoder: Encoder | None = None) -> ScoreHead | None:
    """Put a snapshot's weights on a trunk as `adapter`; returns the score head of a preference model.

    Args:
        encoder: what dialogues are read with for this snapshot; None: the trunk's.

    Raises:
        InputError: made on another base or with another tokenizer or format, or the weights are damaged.
    """
    card = read_card(place)
    if card.base_hash != trunk.weights_hash:
        raise InputError(f"{place}: made on base {card.base!r} ({card.base_hash}), not on {trunk.name!r} as given")
    reader = encoder or trunk.encoder
    if card.fingerprint != reader.fingerprint:
        raise InputError(
            f"{place}: made with another tokenizer or dialogue format ({card.format}); "
            f"train it anew with the one in use ({reader.format})"
        )
    file = place / "weights.safetensors"
    if not file.exists() or sha256(file) != card.weights_hash:
        raise InputError(f"{file}: missing or damaged (its hash is not the one in snapshot.json); make it anew")
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise InputError(f"{file}: not a safetensors file ({error})") from error
    if broken := next((key for key, tensor in tensors.items() if not tensor.isfinite().all()), None):
        raise InputError(f"{file}: {broken} holds what is no number; take an earlier snapshot, or make it anew")
    state = {key: tensors.pop(key) for key in list(tensors) if key.startswith(HEAD_PREFIX)}
    try:
        trunk.load_adapter(adapter, tensors, card.rank)
    except InputError as error:
        raise InputError(f"{file}: {error}; make it anew") from error
    if card.pooling is None:
        return None
    head = ScoreHead(trunk.width, card.pooling, card.layers).to(trunk.device)
    head.load_state_dict({key.removeprefix(HEAD_PREFIX): value for key, value in state.items()})
    return head
