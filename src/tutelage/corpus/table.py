"""Rows of tables as the hubs have them, whose columns the user names: `format = "table"` with `Columns`.

Three forms are known: the better answer in a column of its own (UltraFeedback binarised, and most), two answers with a
label (SHP), and a list of answers with a rating each (UltraFeedback).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.corpus.fields import Fields, refused_as_input
from tutelage.corpus.ranking import Ranked, ranked_comparisons
from tutelage.corpus.rules import DropReason
from tutelage.corpus.trl import columns_to_comparison, turns_of
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError

ONE_CLASS_ROWS = 20
"""From so many labelled rows on, a label that never changes is refused: by chance, 1 table in 500,000 would have it."""


@dataclass(frozen=True, slots=True)
class ChosenColumns:
    """`chosen` and `rejected` name the columns of the better and the worse answer: texts or lists of messages.

    Without `prompt` they hold whole dialogues. Rows whose two scores are equal are ties, where scores are named, and
    rows whose chosen answer has the lower one are dropped.
    """

    chosen: str
    rejected: str
    prompt: str | None = None
    chosen_score: str | None = None
    rejected_score: str | None = None

    def __post_init__(self) -> None:
        if (self.chosen_score is None) != (self.rejected_score is None):
            raise ValueError("chosen_score and rejected_score are named together or not at all")


@dataclass(frozen=True, slots=True)
class LabelledColumns:
    """`first` and `second` name the columns of two answers, `label` the one that says which is better.

    `first_wins` and `second_wins` are its values, as text; any other value must be `tie`. Where `ratio` names the ratio
    of the two scores (better to worse), rows below `min_ratio` are dropped.
    """

    prompt: str
    first: str
    second: str
    label: str
    first_wins: str = "1"
    second_wins: str = "0"
    tie: str | None = None
    ratio: str | None = None
    min_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class RatedColumns:
    """`answers` names a column that holds a list of objects, `text` and `rating` (higher is better) their fields."""

    prompt: str
    answers: str
    text: str
    rating: str


Columns = ChosenColumns | LabelledColumns | RatedColumns


def columns_from(names: Mapping[str, Any], where: str) -> Columns:
    """The mapping that a recipe or a command line gives, told by what it names: `chosen`, `label` or `answers`.

    Raises:
        InputError: none of those is named, a name is unknown beside it, or one is missing.
    """
    given = Fields(names, where)
    with refused_as_input(where):
        columns = _columns(given, names)
    given.done()
    return columns


def columns_from_words(words: Sequence[str]) -> Columns:
    """The mapping written as words `name=column`.

    Raises:
        InputError: a word of another form, or as `columns_from`.
    """
    names: dict[str, Any] = {}
    for word in words:
        name, mark, column = word.partition("=")
        if not mark or not column:
            raise InputError(f"--columns {word}: expected name=column, for example prompt=history")
        names[name] = column
    if "min_ratio" in names:
        with refused_as_input("--columns min_ratio"):
            names["min_ratio"] = float(names["min_ratio"])
    return columns_from(names, "--columns")


def _columns(given: Fields, names: Mapping[str, Any]) -> Columns:
    def maybe(name: str) -> str | None:
        return given.maybe(name, given.text)

    if "chosen" in names:
        answers = given.text("chosen"), given.text("rejected")
        return ChosenColumns(*answers, maybe("prompt"), maybe("chosen_score"), maybe("rejected_score"))
    if "label" in names:
        return LabelledColumns(
            prompt=given.text("prompt"),
            first=given.text("first"),
            second=given.text("second"),
            label=given.text("label"),
            first_wins=maybe("first_wins") or "1",
            second_wins=maybe("second_wins") or "0",
            tie=maybe("tie"),
            ratio=maybe("ratio"),
            min_ratio=given.maybe("min_ratio", given.number) or 1.0,
        )
    if "answers" in names:
        return RatedColumns(given.text("prompt"), given.text("answers"), given.text("text"), given.text("rating"))
    found = ", ".join(names) or "nothing"
    raise ValueError(f"expected chosen and rejected, or label, or answers to be named; found {found}")


def read_table(
    record: Mapping[str, Any], columns: Columns, kind: Kind, where: str
) -> Iterator[Comparison | DropReason]:
    """The comparisons of a row.

    Raises:
        InputError: a column is missing or of another type, or a label has an unknown value.
    """
    match columns:
        case ChosenColumns():
            yield _chosen(record, columns, kind, where)
        case LabelledColumns():
            yield _labelled(record, columns, kind, where)
        case RatedColumns():
            yield from _rated(record, columns, kind, where)


def require_both_labels(labels: Counter[str], columns: LabelledColumns, path: Path) -> None:
    """Refuse a table in which the same answer always wins: most likely another column is the label.

    Raises:
        InputError: one of the two labels is on none of at least `ONE_CLASS_ROWS` rows.
    """
    first, second = labels[columns.first_wins], labels[columns.second_wins]
    if first + second >= ONE_CLASS_ROWS and not (first and second):
        always, winner, loser = (columns.first_wins, columns.first, columns.second)
        if second:
            always, winner, loser = (columns.second_wins, columns.second, columns.first)
        raise InputError(
            f"{path}: '{columns.label}' is {always!r} on all {first + second} labelled rows, so that the same column "
            f"always wins; if that is right, name the columns chosen={winner} rejected={loser} instead of a label"
        )


def _chosen(record: Mapping[str, Any], columns: ChosenColumns, kind: Kind, where: str) -> Comparison | DropReason:
    if columns.chosen_score and columns.rejected_score:
        scores = Fields(record, where)
        better, worse = scores.number(columns.chosen_score), scores.number(columns.rejected_score)
        if better <= worse:
            return DropReason.EQUAL_SCORES if better == worse else DropReason.LOWER_SCORE
    return columns_to_comparison(record, columns.prompt, columns.chosen, columns.rejected, kind, where)


def _labelled(record: Mapping[str, Any], columns: LabelledColumns, kind: Kind, where: str) -> Comparison | DropReason:
    label = label_of(record, columns, where)
    if label == columns.tie:
        return DropReason.TIE
    if columns.ratio and Fields(record, where).number(columns.ratio) < columns.min_ratio:
        return DropReason.SMALL_GAP
    better, worse = columns.first, columns.second
    if label == columns.second_wins:
        better, worse = worse, better
    return columns_to_comparison(record, columns.prompt, better, worse, kind, where)


def label_of(record: Mapping[str, Any], columns: LabelledColumns, where: str) -> str:
    """The label of a row, as text.

    Raises:
        InputError: it is missing, or none of the values that were named.
    """
    known = [value for value in (columns.first_wins, columns.second_wins, columns.tie) if value is not None]
    label = str(record.get(columns.label))
    if label not in known:
        raise InputError(
            f"{where}, field '{columns.label}': expected one of {', '.join(known)}, found {label}; "
            "name its values (first_wins=, second_wins=, tie=)"
        )
    return label


def _rated(
    record: Mapping[str, Any], columns: RatedColumns, kind: Kind, where: str
) -> Iterator[Comparison | DropReason]:
    fields, rated = Fields(record, where), list[Ranked]()
    prompt = turns_of(fields, columns.prompt, "human", record)
    for number, answer in enumerate(fields.items(columns.answers), start=1):
        item = Fields(answer, f"{where}, field '{columns.answers}', item {number}")
        rating = item.maybe(columns.rating, item.number)
        if rating is None:
            yield DropReason.UNRANKED
        else:
            rated.append(Ranked(item.text(columns.text), rating, {"item": number, columns.rating: rating}))
    yield from ranked_comparisons(prompt, rated, kind, {"source": "table"})
