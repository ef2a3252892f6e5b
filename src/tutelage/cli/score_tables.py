"""The result of `tutelage score` on a terminal; the page and the JSON hold the rest."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tutelage.report.plain import cleaned

Record = dict[str, Any]
MOST_WORKERS = 10


def show_calibration(console: Console, result: Record) -> None:
    """The reliability curve and the accuracy among high scores."""
    console.print(f"log-loss {result['log_loss']:.3f} nats (0.693: cannot tell)")
    table = _table("score difference", "expected")
    for part in result["reliability"]:
        table.add_row(f"{part['difference']:.2f}", f"{part['confidence']:.1%}", *_share(part))
    console.print(table)
    table = _table("both scores at least")
    for part in result["above_threshold"]:
        table.add_row(f"{part['threshold']:.2f}", *_share(part))
    console.print(table)


def show_parts(console: Console, result: Record) -> None:
    """The accuracy by data set, kind, turn, length, strength and worker."""
    files = [{**card, "label": card["file"]} for card in result["files"]]
    _show_slices(console, "data set", files if len(files) > 1 else [])
    _show_slices(console, "kind", result["by_kind"] if len(result["by_kind"]) > 1 else [])
    _show_slices(console, "human turns in the prompt", result["by_turn"])
    _show_slices(console, "tokens that the chosen response is longer", result["by_length_difference"])
    _show_slices(console, "strength (1 barely, 4 much)", result["by_strength"])
    _show_slices(console, "worker", _workers(result["by_worker"], result["pooled_workers"]))


def show_length(console: Console, result: Record) -> None:
    """How far the scores go by length."""
    length = result["length"]
    if length["longer_chosen"]:
        console.print(
            f"the longer response was chosen in {_interval(length['longer_chosen'])}, "
            f"the model prefers it in {_interval(length['longer_preferred'])}"
        )
    if length["correlation"]:
        console.print(f"rank correlation of score and length {_interval(length['correlation'], '.2f')}")
    if length["matched_accuracy"]:
        console.print(
            f"accuracy with lengths matched {_interval(length['matched_accuracy'])} "
            f"({length['matched_pairs']} pairs; 50% for a model that goes by length alone)"
        )


def show_agreement(console: Console, result: Record) -> None:
    """How far another model agrees, where one was asked."""
    other = result["against"]
    if other is None:
        return
    console.print(
        f"with {other['snapshot']}, on {other['pairs']} pairs: the same response is preferred in "
        f"{_interval(other['agreement'])}; accuracy {_interval(other['accuracy'])}, of the other "
        f"{_interval(other['other_accuracy'])}"
    )
    if other["accuracy_gain"]:
        console.print(f"accuracy of this one less the other's: {_interval(other['accuracy_gain'])}")
    if other["difference_correlation"]:
        console.print(f"correlation of the score differences {_interval(other['difference_correlation'], '.2f')}")
    table = _table("score difference", title="agreement")
    for part in other["by_difference"]:
        table.add_row(f"{part['difference']:.2f}", *_share({**part, "accuracy": part["agreement"]}))
    console.print(table)


def _table(*names: str, title: str = "accuracy") -> Table:
    left, *others = names
    numbers = (*others, "pairs", title, "95% interval")
    return Table(left, *(Column(name, justify="right") for name in numbers))


def _show_slices(console: Console, name: str, slices: Iterable[Record]) -> None:
    table = _table(name)
    for part in slices:
        table.add_row(Text(cleaned(part["label"])), *_share(part))
    if table.row_count:
        console.print(table)


def _workers(slices: list[Record], pooled: Record | None) -> list[Record]:
    """The busiest workers, then those with few pairs taken together."""
    rest = [{**pooled, "label": f"{pooled['workers']} with few pairs"}] if pooled else []
    return [*slices[:MOST_WORKERS], *rest]


def _share(part: Record) -> tuple[str, str, str]:
    accuracy = part["accuracy"]
    return str(part["pairs"]), f"{accuracy['value']:.1%}", f"{accuracy['low']:.1%} to {accuracy['high']:.1%}"


def _interval(interval: Record, form: str = ".1%") -> str:
    return f"{interval['value']:{form}} ({interval['low']:{form}} to {interval['high']:{form}})"
