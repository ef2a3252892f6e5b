"""From what `tutelage score` measured to the figures of its page. What was not measured gives no figure."""

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tutelage.report.figures import Estimate, Series, curve_plot, in_percent, interval_plot
from tutelage.report.plain import percent

Record = dict[str, Any]
MOST_WORKERS = 20  # rows of the workers' figure; all workers stand in the JSON
CHANCE = (0.5, "chance")


def _estimate(label: str, interval: Record) -> Estimate:
    return Estimate(label, interval["value"], interval["low"], interval["high"])


def _slices_plot(slices: Sequence[Record], xlabel: str, reference: tuple[float, str]) -> Figure | None:
    """A row a slice, with its share and the number of its pairs at the end."""
    if not slices:
        return None
    pairs = {_estimate(part["label"], part["accuracy"]): part["pairs"] for part in slices}
    figure = interval_plot(list(pairs), xlabel, lambda e: f"{percent(e.value)} of {pairs[e]}", reference)
    in_percent(figure.axes[0].xaxis)
    return figure


def _accuracies(card: Record, slices: Sequence[Record]) -> Figure | None:
    value = card["accuracy"]["value"]
    return _slices_plot(slices, "share of pairs told right", (value, f"all pairs {percent(value)}"))


def _reliability(card: Record) -> Figure:
    bins = card["reliability"]
    differences = [part["difference"] for part in bins]
    line = np.linspace(0, max(*differences, 1.0), 50)
    expected = Series("1 / (1 + exp(−|Δ|))", line, 1 / (1 + np.exp(-line)))
    points = [_estimate("", part["accuracy"]) for part in bins]
    figure = curve_plot(points, differences, expected, "|Δ|, difference of the two scores (nats)", "share told right")
    in_percent(figure.axes[0].yaxis)
    return figure


def _above_threshold(card: Record) -> Figure:
    rows, value = card["above_threshold"], card["accuracy"]["value"]
    thresholds = [row["threshold"] for row in rows]
    points = [_estimate("", row["accuracy"]) for row in rows]
    level = Series(f"all pairs {percent(value)}", [thresholds[0], thresholds[-1]], [value, value])
    figure = curve_plot(points, thresholds, level, "both scores at least (nats)", "share told right")
    in_percent(figure.axes[0].yaxis)
    return figure


def _length(card: Record) -> Figure | None:
    length = card["length"]
    rows = [
        ("the longer was chosen", length["longer_chosen"]),
        ("the PM prefers the longer", length["longer_preferred"]),
        ("accuracy, all pairs", card["accuracy"]),
        ("accuracy, lengths matched", length["matched_accuracy"]),
    ]
    estimates = [_estimate(label, interval) for label, interval in rows if interval]
    figure = interval_plot(estimates, "share of pairs", lambda e: percent(e.value), CHANCE)
    in_percent(figure.axes[0].xaxis)
    return figure


def _workers(card: Record) -> Figure | None:
    rows, pooled = card["by_worker"][:MOST_WORKERS], card["pooled_workers"]
    if pooled:
        rows = [*rows, {**pooled, "label": f"{pooled['workers']} with few pairs"}]
    return _accuracies(card, rows)


def _kinds(card: Record) -> Figure | None:
    return _accuracies(card, card["by_kind"]) if len(card["by_kind"]) > 1 else None


CHARTS: dict[str, Callable[[Record], Figure | None]] = {
    "reliability": _reliability,
    "kinds": _kinds,
    "turns": lambda card: _accuracies(card, card["by_turn"]),
    "lengths": lambda card: _accuracies(card, card["by_length_difference"]),
    "strengths": lambda card: _accuracies(card, card["by_strength"]),
    "above-threshold": _above_threshold,
    "length-bias": _length,
    "workers": _workers,
}


def files_plot(result: Record) -> Figure | None:
    """The accuracy by data set, where there are several."""
    cards = result["files"]
    if len(cards) < 2:
        return None
    names = short_names([card["file"] for card in cards])
    return _accuracies(result, [{**card, "label": name} for card, name in zip(cards, names, strict=True)])


def short_names(paths: Sequence[str]) -> list[str]:
    """The paths cut down to as many of their last parts as tell them apart."""
    parts = [PurePath(path).parts for path in paths]
    for depth in range(1, max(map(len, parts), default=1)):
        names = [str(PurePath(*part[-depth:])) for part in parts]
        if len(set(names)) == len(set(paths)):
            return names
    return list(paths)


def agreement_plot(against: Record) -> Figure:
    """The share of pairs on which two models prefer the same, over how sure the first one is."""
    rows, value = against["by_difference"], against["agreement"]["value"]
    differences = [row["difference"] for row in rows]
    points = [_estimate("", row["agreement"]) for row in rows]
    level = Series(f"all pairs {percent(value)}", [differences[0], differences[-1]], [value, value])
    xlabel = "|Δ| by this PM (nats)"
    figure = curve_plot(points, differences, level, xlabel, "share on which both prefer the same")
    in_percent(figure.axes[0].yaxis)
    return figure


def scores_plot(against: Record) -> Figure:
    """The other model's mean score over this one's, both less their means: on the diagonal where they say the same."""
    rows = against["by_score"]
    scores = [row["score"] for row in rows]
    points = [Estimate("", row["other"], *(_or_nan(row[end]) for end in ("low", "high"))) for row in rows]
    ends = [scores[0], scores[-1]]
    diagonal = Series("the same score", ends, ends)
    return curve_plot(points, scores, diagonal, "score by this PM, less its mean (nats)", "by the other (nats)")


def _or_nan(end: float | None) -> float:
    return float("nan") if end is None else end
