"""`tutelage score`: what a preference model thinks of comparisons, and how often people agree with it."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from tutelage.cli.options import require_writable
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tutelage.corpus.locate import DataFile
    from tutelage.evaluation.scorecard import ScoredPairs
    from tutelage.modeling.snapshot import SnapshotCard

Place = tuple[str, int]  # a file, and the how-manieth of its rows (the first is 1, blank lines are not counted)


@dataclass(frozen=True)
class Scores:
    """What one model said: scores and response lengths (P, [chosen, rejected]); scores are NaN where it dropped."""

    snapshot: str
    scores_P2: "NDArray[np.float64]"
    lengths_P2: "NDArray[np.int64]"
    drops: Counter[str]


@dataclass(frozen=True)
class Score:
    """Score comparisons with a preference model: accuracy, calibration, what it goes by, agreement with another model.

    All of it for all pairs together and for each file: accuracy by turn, length, strength and worker, the reliability
    curve, accuracy of pairs with two high scores, accuracy with lengths matched. Intervals are over first human turns:
    pairs of one conversation are not independent.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...")]
    """JSONL or JSONL.gz files of comparisons, or names of sources (`tutelage data list`)."""
    model: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The preference model: a snapshot directory, as `tutelage train pm` writes it."""
    against: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Another preference model, of any base, that scores the same pairs: how far do the two agree? None: no other."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("scores.jsonl")
    """The JSONL file to write (gzipped if its name ends in .gz): file, row, kind and both scores of every pair."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html")] = None
    """The page to write, one HTML file with all plots; None: no page."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where sources that are named are looked for; None: $TUTELAGE_DATA."""
    kind: Kind = "helpful"
    """The kind of the comparisons of hh and trl files, which do not say it."""
    allow_overlap: bool = False
    """Score files, too, that a model was trained on by its card."""
    max_tokens: int | None = None
    """Longest prompt with its responses, in tokens; None: as in training, 1024 where the snapshot does not say."""
    dtype: Literal["bfloat16", "float32"] | None = None
    """Number format of the model; None: as in training, bfloat16 where the snapshot does not say."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        from tutelage.evaluation.scorecard import scored_pairs
        from tutelage.plumbing.files import write_jsonl

        cards = {place: _preference_card(place) for place in (self.model, self.against) if place}
        self._require_places()
        self._require_unseen(cards)
        places, comparisons, drops = self._read()
        own = self._score(self.model, cards[self.model], comparisons)
        other = self._score(self.against, cards[self.against], comparisons) if self.against else None
        pairs = scored_pairs(comparisons, own.scores_P2, own.lengths_P2, [file for file, _ in places])
        result = {
            **_measured(pairs),
            "against": other and {"model": str(self.against), **_agreement(comparisons, own, other)},
            "drops": dict(drops + own.drops),
            "snapshot": own.snapshot,
            "model": str(self.model),
            "out": str(self.out),
            "report": None if self.report is None else str(self.report),
        }
        write_jsonl(self.out, _records(places, comparisons, own, other))
        self._write_page(result)
        return result

    def show(self, result: dict[str, Any]) -> None:
        from tutelage.cli.score_tables import show_agreement, show_calibration, show_length, show_parts

        console = Console()
        show_quality(console, result)
        for show in (show_calibration, show_parts, show_length, show_agreement):
            show(console, result)
        show_drops(console, result["drops"])
        for name in ("out", "report"):
            if result[name]:
                title = {"out": "scores", "report": "page"}[name]
                console.print(f"{title}: {result[name]}", highlight=False, markup=False)

    def _require_places(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"--max-tokens must be at least 1, not {self.max_tokens}")
        taken = {file.resolve(): "one of the files to score" for file in self.files}
        for flag, place in {"--out": self.out, "--report": self.report}.items():
            if place is None:
                continue
            if place.is_dir():
                raise InputError(f"{flag} {place}: a directory; name the file to write")
            if place.resolve() in taken:
                raise InputError(f"{flag} {place}: {taken[place.resolve()]}; name another")
            taken[place.resolve()] = "what --out names"
            require_writable(place.parent, flag)

    def _require_unseen(self, cards: "dict[Path, SnapshotCard]") -> None:
        """Refuse files that a model was trained on, whole or but for what it held out.

        Raises:
            InputError: there is one, and nobody has said that it is wanted.
        """
        from tutelage.plumbing.files import sha256

        if self.allow_overlap:
            return
        for place, card in cards.items():
            trained = {file.get("sha256") for file in card.read if not file.get("test")} - {None}
            for file in self._files():
                if trained and sha256(file.path) in trained:
                    raise InputError(
                        f"{file.path}: {place} was trained on it (snapshot.json), so that its accuracy there says "
                        "little; score other comparisons, or say --allow-overlap"
                    )

    def _files(self) -> "list[DataFile]":
        from tutelage.corpus.locate import DataFile, locate_all

        return locate_all(self.files, self.data, DataFile(Path(), "auto", self.kind))

    def _read(self) -> tuple[list[Place], list[Comparison], Counter[str]]:
        from tutelage.corpus.rules import DropCounts

        counts, places, comparisons = DropCounts(), list[Place](), list[Comparison]()
        for file in self._files():
            for row, item in enumerate(file.rows(), start=1):
                for comparison in counts.sift([item]):
                    places.append((str(file.path), row))
                    comparisons.append(comparison)
        if not comparisons:
            names = ", ".join(map(str, self.files)) or "no file named"
            raise InputError(f"{names}: expected comparisons, found none that can be scored")
        return places, comparisons, Counter(counts.by_key())

    def _score(self, place: Path, card: "SnapshotCard", comparisons: list[Comparison]) -> Scores:
        """The scores of a preference model, in the format and length of its training unless told otherwise."""
        import numpy as np

        from tutelage.evaluation.preference import response_lengths, score_in_parts
        from tutelage.plumbing.progress import progress_bar

        max_tokens = self.max_tokens or card.lineage.get("settings", {}).get("max_tokens", 1024)
        trunk, model = _load(place, card, self.dtype or card.lineage.get("dtype", "bfloat16"))
        with progress_bar(f"scores by {card.name}", len(comparisons), "pairs") as bar:
            scores_P2, drops = score_in_parts(trunk, model, comparisons, max_tokens, bar.advance)
        if np.isnan(scores_P2).all():
            raise InputError(f"{place}: no pair fits into {max_tokens} tokens; give a larger --max-tokens")
        return Scores(card.name, scores_P2, response_lengths(comparisons, trunk.encoder), drops)

    def _write_page(self, result: dict[str, Any]) -> None:
        if self.report:
            from tutelage.report.score_page import write_score_page

            write_score_page(result, self.report)


def _preference_card(place: Path) -> "SnapshotCard":
    from tutelage.modeling.snapshot import read_card

    card = read_card(place)
    if card.role != "preference":
        raise InputError(f"{place}: expected a preference model, found a {card.role}")
    return card


def _load(place: Path, card: "SnapshotCard", dtype: str) -> tuple[Any, Any]:
    """The base of the snapshot with the snapshot on it, and the preference model as scoring takes it."""
    import torch

    from tutelage.modeling.base import load_base
    from tutelage.training.rollouts import load_preference_model

    trunk = load_base(card.base, card.format, getattr(torch, dtype))
    return trunk, load_preference_model(trunk, place, "score")


def _measured(pairs: "ScoredPairs") -> dict[str, Any]:
    """The scorecard of all pairs, and that of each file."""
    from tutelage.evaluation.scorecard import by_file, scorecard

    files = [{"file": file, **asdict(scorecard(part))} for file, part in by_file(pairs).items()]
    return {**asdict(scorecard(pairs)), "files": files}


def _agreement(comparisons: list[Comparison], own: Scores, other: Scores) -> dict[str, Any]:
    """How far two models agree on the pairs that both have scored."""
    from tutelage.evaluation.scorecard import agreement

    found = agreement(comparisons, own.scores_P2, other.scores_P2)
    if found is None:
        names = f"{own.snapshot} and {other.snapshot}"
        raise InputError(f"{names}: no pair that both have scored; give a larger --max-tokens")
    return {"snapshot": other.snapshot, **asdict(found), "drops": dict(other.drops)}


def show_quality(console: Console, quality: dict[str, Any]) -> None:
    accuracy = quality["accuracy"]
    console.print(
        f"{quality['pairs']} pairs: the chosen response has the higher score in {accuracy['value']:.1%} "
        f"(95% interval over first prompts {accuracy['low']:.1%} to {accuracy['high']:.1%})\n"
        f"Brier score {quality['brier']:.3f} (0.25: cannot tell), calibration error {quality['ece']:.3f}"
    )


def show_drops(console: Console, drops: dict[str, int], title: str = "dropped") -> None:
    """Rows by the key of their reason, each with the rule that it stands for."""
    from tutelage.corpus.rules import DropReason

    if not drops:
        return
    rules = {reason.key: reason.value for reason in DropReason}
    table = Table(title, Column("rows", justify="right"))
    for reason, count in drops.items():
        table.add_row(rules.get(reason, reason), str(count))
    console.print(table)


def _records(
    places: list[Place], comparisons: list[Comparison], own: Scores, other: Scores | None
) -> list[dict[str, Any]]:
    """A row a pair that the model has scored, with the other model's scores where one was asked (null: dropped)."""
    rows = [
        {"file": file, "row": row, "kind": comparison.kind, "chosen": chosen, "rejected": rejected}
        for (file, row), comparison, (chosen, rejected) in zip(places, comparisons, own.scores_P2.tolist(), strict=True)
    ]
    if other:
        for record, scores in zip(rows, other.scores_P2.tolist(), strict=True):
            chosen, rejected = (None if score != score else score for score in scores)
            record |= {"against_chosen": chosen, "against_rejected": rejected}
    return [record for record in rows if record["chosen"] == record["chosen"]]  # NaN: dropped
