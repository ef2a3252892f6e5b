"""Policies that commands train: the adapter, the progress and the loss that are shown, the snapshot that is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.plumbing.progress import Bar

if TYPE_CHECKING:
    from tutelage.corpus.locate import DataFile
    from tutelage.modeling.trunk import Trunk

ADAPTER = "policy"
LATE_STEPS = 10  # the loss of a single step is mostly noise; what is shown is the mean of so many


def dialogue_files(names: Sequence[Path], data: Path | None) -> "list[DataFile]":
    """The files of dialogues that are named, by their paths or as sources in the data directory."""
    from tutelage.corpus.locate import DataFile, locate_all

    return locate_all(names, data, DataFile(Path()))


def data_files(paths: Sequence[Path]) -> list[dict[str, str | None]]:
    """The files with their hashes, for the card; what is embedded, and no file, has none."""
    from tutelage.plumbing.files import sha256

    return [{"file": str(path), "sha256": sha256(path) if path.exists() else None} for path in paths]


def reporting(bar: Bar) -> Callable[[int, Mapping[str, Any]], None]:
    """What moves the bar by each step's examples and notes its loss."""

    def on_step(examples: int, metrics: Mapping[str, Any]) -> None:
        bar.advance(examples)
        bar.note(f"loss {metrics['loss']:.3f}")

    return on_step


def late_loss(metrics: Sequence[Mapping[str, Any]]) -> float:
    """Mean loss a token over the last steps."""
    late = metrics[-LATE_STEPS:]
    return float(sum(step["loss"] * step["tokens"] for step in late) / sum(step["tokens"] for step in late))


def mean_over(losses: Sequence[Any]) -> dict[str, float]:
    """The mean a token of per-token losses by example, with its 95% interval over examples."""
    import numpy as np

    from tutelage.statistics.intervals import mean_interval

    labels = [place for place, loss in enumerate(losses) for _ in loss]
    return asdict(mean_interval(np.concatenate(losses), labels))


def write_policy(
    place: Path,
    trunk: "Trunk",
    settings: Any,
    metrics: Sequence[dict[str, Any]],
    origin: Mapping[str, Any],
    result: Mapping[str, Any],
) -> str:
    """Write the snapshot with its loss curve and card into a directory of the caller's; returns its name."""
    from tutelage.loop.run import versions
    from tutelage.modeling.snapshot import save_snapshot
    from tutelage.plumbing.files import write_json, write_jsonl

    lineage = {**origin, "settings": asdict(settings)}
    layers = getattr(settings, "layers", None)
    snapshot = save_snapshot(place, trunk, ADAPTER, settings.rank, None, lineage, layers)
    write_jsonl(place / "metrics.jsonl", metrics)
    card = {
        "snapshot": snapshot.name, "base": trunk.name, "layers": layers, "format": asdict(trunk.encoder.format),
        **lineage, **result, "versions": versions(),
    }  # fmt: skip
    write_json(place / "model_card.json", card)
    return snapshot.name
