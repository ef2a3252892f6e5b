"""`tutelage score`: what a preference model thinks of comparisons, and how often people agree with it."""

import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError

Place = tuple[str, int]  # a file, and the how-manieth of its rows (the first is 1, blank lines are not counted)


@dataclass(frozen=True)
class Score:
    """Score comparisons with a preference model: both scores of every pair, accuracy, Brier score, calibration error.

    The interval of the accuracy is over first human turns: pairs of one conversation are not independent.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...")]
    """JSONL or JSONL.gz files of comparisons (hh, tutelage or trl format)."""
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The preference model: a snapshot directory, as `tutelage train pm` writes it."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("scores.jsonl")
    """The JSONL file to write (gzipped if its name ends in .gz): file, row, kind and both scores of every pair."""
    kind: Kind = "helpful"
    """The kind of the comparisons of hh and trl files, which do not say it."""
    max_tokens: int | None = None
    """Longest prompt with its responses, in tokens; None: as in training, 1024 where the snapshot does not say."""
    dtype: Literal["bfloat16", "float32"] | None = None
    """Number format of the model; None: as in training, bfloat16 where the snapshot does not say."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        from tutelage.evaluation.preference import quality, score_in_parts
        from tutelage.modeling.snapshot import read_card
        from tutelage.plumbing.files import write_jsonl
        from tutelage.plumbing.progress import progress_bar

        card = read_card(self.model)
        if card.role != "preference":
            raise InputError(f"{self.model}: expected a preference model, found a {card.role}")
        settings = card.lineage.get("settings", {})
        max_tokens = self.max_tokens or settings.get("max_tokens", 1024)
        self._require_place()
        places, comparisons, drops = self._read()
        trunk, model = self._load(card.base, card.format, self.dtype or card.lineage.get("dtype", "bfloat16"))
        with progress_bar("scores", len(comparisons), "pairs") as bar:
            scores_P2, too_long = score_in_parts(trunk, model, comparisons, max_tokens, bar.advance)
        worth = quality(comparisons, scores_P2)
        if worth is None:
            raise InputError(f"no pair fits into {max_tokens} tokens; give a larger --max-tokens")
        write_jsonl(self.out, _records(places, comparisons, scores_P2.tolist()))
        return {**asdict(worth), "drops": dict(drops + too_long), "snapshot": card.name, "out": str(self.out)}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        show_quality(console, result)
        show_drops(console, result["drops"])
        console.print(f"scores: {result['out']}", highlight=False)

    def _require_place(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"--max-tokens must be at least 1, not {self.max_tokens}")
        if self.out.is_dir():
            raise InputError(f"--out {self.out}: a directory; name the file to write")
        if self.out.resolve() in [file.resolve() for file in self.files]:
            raise InputError(f"--out {self.out}: one of the files to score; name another")
        require_writable(self.out.parent)

    def _read(self) -> tuple[list[Place], list[Comparison], Counter[str]]:
        from tutelage.corpus.rules import DropCounts
        from tutelage.corpus.sources import read_comparisons

        counts, places, comparisons = DropCounts(), list[Place](), list[Comparison]()
        for file in self.files:
            for row, item in enumerate(read_comparisons([file], kind=self.kind), start=1):
                for comparison in counts.sift([item]):
                    places.append((str(file), row))
                    comparisons.append(comparison)
        if not comparisons:
            names = ", ".join(map(str, self.files)) or "no file named"
            raise InputError(f"{names}: expected comparisons, found none that can be scored")
        return places, comparisons, Counter(counts.by_key())

    def _load(self, base: str, dialogue_format: Any, dtype: str) -> tuple[Any, Any]:
        """The base of the snapshot with the snapshot on it, and the preference model as scoring takes it."""
        import torch

        from tutelage.modeling.base import load_base
        from tutelage.modeling.snapshot import load_snapshot
        from tutelage.training.rollouts import PreferenceModel

        trunk = load_base(base, dialogue_format, getattr(torch, dtype))
        head = load_snapshot(self.model, trunk, "score")
        assert head is not None, "its card says that it is a preference model"
        return trunk, PreferenceModel("score", head)


def require_writable(directory: Path) -> None:
    """Make the directory and a file in it that vanishes, now rather than after long work.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error.strerror or error}); choose another --out") from error


def show_quality(console: Console, quality: dict[str, Any]) -> None:
    accuracy = quality["accuracy"]
    console.print(
        f"{quality['pairs']} pairs: the chosen response has the higher score in {accuracy['value']:.1%} "
        f"(95% interval over first prompts {accuracy['low']:.1%} to {accuracy['high']:.1%})\n"
        f"Brier score {quality['brier']:.3f} (0.25: cannot tell), calibration error {quality['ece']:.3f}"
    )


def show_drops(console: Console, drops: dict[str, int]) -> None:
    from tutelage.corpus.rules import DropReason

    if not drops:
        return
    rules = {reason.key: reason.value for reason in DropReason}
    table = Table("dropped", Column("rows", justify="right"))
    for reason, count in drops.items():
        table.add_row(rules.get(reason, reason), str(count))
    console.print(table)


def _records(places: list[Place], comparisons: list[Comparison], scores: list[list[float]]) -> list[dict[str, Any]]:
    return [
        {"file": file, "row": row, "kind": comparison.kind, "chosen": chosen, "rejected": rejected}
        for (file, row), comparison, (chosen, rejected) in zip(places, comparisons, scores, strict=True)
        if chosen == chosen  # NaN: dropped
    ]
