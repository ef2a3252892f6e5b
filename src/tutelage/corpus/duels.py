"""Judgments and comparisons of snapshots as columns: what ratings are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tutelage.corpus.records import comparison_from_record, judgment_from_record
from tutelage.dialogue import Comparison, Kind, comparison_from_judgment
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_jsonl


@dataclass(slots=True)
class DuelColumns:
    """One entry a comparison; prompts are named by their texts."""

    winners: list[str] = field(default_factory=list)
    losers: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    prompts: list[tuple[str, ...]] = field(default_factory=list)
    equal_answers: int = 0
    """Judgments of two answers that cannot be compared (the same text, or one empty), left out."""

    def append(self, comparison: Comparison, where: str) -> None:
        for name, response in (("chosen", comparison.chosen), ("rejected", comparison.rejected)):
            if response.snapshot is None:
                raise InputError(f"{where}: the {name} response names no snapshot; only snapshots can be rated")
        if comparison.worker is None:
            raise InputError(f"{where}: no worker is named; the intervals of ratings are over workers")
        self.winners.append(str(comparison.chosen.snapshot))
        self.losers.append(str(comparison.rejected.snapshot))
        self.workers.append(comparison.worker)
        self.prompts.append(comparison.prompt.texts)


def read_duels(paths: Sequence[Path], kind: Kind | None = None) -> DuelColumns:
    """The columns of files of judgments or comparisons (`tutelage` format) taken together, of one kind or of both.

    Raises:
        InputError: another kind of record, a response without its snapshot, a comparison without its worker.
    """
    columns = DuelColumns()
    for file, line in ((path, line) for path in paths for line in read_jsonl(path)):
        where = f"{file}, line {line.number}"
        comparison = _comparison(line.record, where)
        if comparison is None:
            columns.equal_answers += 1
        elif kind in (None, comparison.kind):
            columns.append(comparison, where)
    return columns


def _comparison(record: dict[str, object], where: str) -> Comparison | None:
    if record.get("record") == "comparison":
        return comparison_from_record(record, where)
    if record.get("record") != "judgment":
        raise InputError(f"{where}, field 'record': expected 'judgment' or 'comparison'")
    judgment = judgment_from_record(record, where)
    try:
        return comparison_from_judgment(judgment)
    except ValueError:
        return None
