"""The figures of the report: each function takes plain numbers and returns a matplotlib figure in the house style.

A number that is missing is NaN, and its mark is left out.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

COLOURS = {
    "ink": "#1f2430",
    "muted": "#646b7a",
    "grid": "#dfe2e8",
    "c1": "#2a6fb0",
    "c2": "#c75b12",
    "c3": "#2f8a5b",
    "c4": "#8a4fa3",
    "c5": "#a07d1c",
    "c6": "#b23a56",
}
CYCLE = [COLOURS[name] for name in ("c1", "c2", "c3", "c4", "c5", "c6")]
STYLE: Any = {  # matplotlib types the keys as one great Literal
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a snapshot's name may hold dollar signs
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=CYCLE),
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and recoloured
    "svg.hashsalt": "tutelage",  # equal figures are equal bytes
}
WIDTH = 4.6  # inches; two fit beside each other on a wide page, one fits a phone with legible text
LONGEST_LABEL = 32

Floats = Sequence[float] | NDArray[np.float64]
P = ParamSpec("P")
R = TypeVar("R")


class Estimate(NamedTuple):
    """A value with its interval."""

    label: str
    value: float
    low: float
    high: float


class Series(NamedTuple):
    label: str
    x: Floats
    y: Floats


class Curve(NamedTuple):
    """Estimates over x, as a line."""

    label: str
    x: Floats
    estimates: Sequence[Estimate]


class Panel(NamedTuple):
    """One pair of axes and the series that it shows; `lines` are dashed, each in the colour of the series of its place,
    and in no legend; `note` stands at the lower right."""

    title: str
    ylabel: str
    series: Sequence[Series]
    lines: Sequence[Series] = ()
    note: str = ""


class Bars(NamedTuple):
    """A group of horizontal bars with the text that stands at each bar's end."""

    title: str
    labels: Sequence[str]
    values: Floats
    texts: Sequence[str]


def _styled(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def within_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    return within_style


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def in_percent(axis: Axis) -> None:
    """Label an axis of shares in whole per cents."""
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter("{x:.0%}")


def _error_bars(estimates: Sequence[Estimate]) -> NDArray[np.float64]:
    """Distances to both ends, `[2, n]`; nothing is drawn where an end is unknown."""
    ends = np.array([(e.value - e.low, e.high - e.value) for e in estimates], dtype=np.float64).T
    return np.clip(np.nan_to_num(ends), 0, None)


@_styled
def interval_plot(
    estimates: Sequence[Estimate],
    xlabel: str,
    text: Callable[[Estimate], str],
    reference: tuple[float, str] | None = None,
) -> Figure:
    """A dot and an interval a row, the first on top, `text` at its end; `reference` is a marked value and its name."""
    figure = Figure(figsize=(WIDTH, 0.95 + 0.36 * len(estimates)))
    axes = figure.subplots()
    rows, values = np.arange(len(estimates)), [e.value for e in estimates]
    axes.errorbar(values, rows, xerr=_error_bars(estimates), fmt="o", markersize=6, elinewidth=2.2)
    if reference is not None:
        value, name = reference
        axes.axvline(value, color=COLOURS["c2"], linestyle="--", linewidth=1.2, label=name)
        figure.legend(loc="outside upper right", fontsize="small")
    for row, estimate in enumerate(estimates):
        axes.text(1.02, row, text(estimate), va="center", fontsize="small", transform=axes.get_yaxis_transform())
    axes.set_yticks(rows, [_short(e.label) for e in estimates])
    axes.set_ylim(len(estimates) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)
    axes.set_xlabel(xlabel)
    return figure


def _draw_series(axes: Axes, panel: Panel, *, joined: bool) -> None:
    style, size = ("o-", 3) if joined else ("o", 4.5)
    for index, series in enumerate(panel.series):
        hollow = index > 0 and not joined
        (marks,) = axes.plot(series.x, series.y, style, markersize=size, label=series.label)
        marks.set_fillstyle("none" if hollow else "full")
    for index, line in enumerate(panel.lines):
        colour = CYCLE[index % len(CYCLE)]
        axes.plot(line.x, line.y, "--", linewidth=1.1, color=colour, label=f"_{line.label}")
    if panel.note:
        where, muted = axes.transAxes, COLOURS["muted"]
        axes.text(0.99, 0.02, panel.note, ha="right", va="bottom", fontsize="small", color=muted, transform=where)
    axes.axhline(0, color=COLOURS["grid"], zorder=0)  # zero stays in sight, so that no small change looks great
    axes.set_title(panel.title)
    axes.set_ylabel(panel.ylabel)


@_styled
def panels_plot(panels: Sequence[Panel], xlabel: str, *, joined: bool = True, same_scale: bool = False) -> Figure:
    """Panels one below the other over a common x axis, their series as lines (`joined`) or as bare points.

    The panels hold the same series in the same order, so that one legend serves all; `same_scale` shares the y axis.
    """
    figure = Figure(figsize=(WIDTH, 0.7 + 1.75 * len(panels)))
    grid = figure.subplots(len(panels), sharex=True, sharey=same_scale, squeeze=False)
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw_series(axes, panel, joined=joined)
    grid[-1, 0].set_xlabel(xlabel)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=min(4, len(labels)), fontsize="small")
    return figure


@_styled
def curve_plot(points: Sequence[Estimate], x: Floats, expected: Series, xlabel: str, ylabel: str) -> Figure:
    """Points with their intervals over x, each with its label beside it, and the line they are expected on (dashed)."""
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.subplots()
    axes.plot(expected.x, expected.y, color=COLOURS["muted"], linestyle="--", linewidth=1.2, label=expected.label)
    values = [point.value for point in points]
    axes.errorbar(x, values, yerr=_error_bars(points), fmt="o-", color=COLOURS["c1"], label="this PM")
    for place, point in zip(x, points, strict=True):
        where, muted = (place, point.value), COLOURS["muted"]
        axes.annotate(point.label, where, (6, -11), textcoords="offset points", fontsize="small", color=muted)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(loc="upper left", fontsize="small")
    return figure


@_styled
def estimates_plot(
    curves: Sequence[Curve], expected: Sequence[Series], xlabel: str, ylabel: str, *, log_x: bool = False
) -> Figure:
    """Lines of shares with their intervals over x, and the lines (dashed) that they are held against."""
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots()
    for index, curve in enumerate(curves):
        aside = (index - (len(curves) - 1) / 2) / 18  # inches: intervals at the same x stand beside each other
        place = axes.transData + ScaledTranslation(aside, 0, figure.dpi_scale_trans)
        values = [estimate.value for estimate in curve.estimates]
        axes.errorbar(
            curve.x, values, yerr=_error_bars(curve.estimates), fmt="o-", elinewidth=1.2, label=curve.label,
            transform=place,
        )  # fmt: skip
        # What is moved aside does not count for the axes' limits by itself.
        ends = [(x, end) for x, one in zip(curve.x, curve.estimates, strict=True) for end in (one.low, one.high)]
        axes.update_datalim(ends)
    for series in expected:
        axes.plot(series.x, series.y, color=COLOURS["muted"], linestyle="--", linewidth=1.2, label=series.label)
    if log_x:
        axes.set_xscale("log")
    axes.set_xticks(list(curves[0].x), [f"{x:,.0f}" if x >= 100 else f"{x:.2g}" for x in curves[0].x])
    axes.minorticks_off()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    in_percent(axes.yaxis)
    figure.legend(loc="outside upper right", ncols=2, fontsize="small")
    return figure


def calibration_plot(bins: Sequence[Estimate], confidence: Floats, pairs: Sequence[str]) -> Figure:
    """Observed accuracy, with its interval, over stated confidence (both are shares), and a perfect PM's diagonal."""
    points = [b._replace(label=text) for b, text in zip(bins, pairs, strict=True)]
    diagonal = Series("perfectly calibrated", [0.5, 1], [0.5, 1])
    figure = curve_plot(points, confidence, diagonal, "how sure the PM was", "how often it was right")
    in_percent(figure.axes[0].xaxis)
    in_percent(figure.axes[0].yaxis)
    return figure


@_styled
def scatter_plot(across: Sequence[Estimate], up: Sequence[Estimate], xlabel: str, ylabel: str) -> Figure:
    """One named point a snapshot with intervals both ways, joined in order."""
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.subplots()
    axes.plot([e.value for e in across], [e.value for e in up], color=COLOURS["grid"], linewidth=2.5, zorder=1)
    for index, (x, y) in enumerate(zip(across, up, strict=True)):
        colour = CYCLE[index % len(CYCLE)]
        width, height = _error_bars([x]), _error_bars([y])
        axes.errorbar(x.value, y.value, height, width, fmt="o", markersize=7, elinewidth=1.6, color=colour)
        name = axes.annotate(_short(x.label), (x.value, y.value), (7, 6), textcoords="offset points", color=colour)
        name.set_fontweight("bold")
    axes.margins(0.12)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure


@_styled
def groups_plot(
    groups: Mapping[str, tuple[Sequence[Estimate], Sequence[Estimate]]], xlabel: str, ylabel: str
) -> Figure:
    """Points with faint intervals both ways, a colour a group."""
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.subplots()
    for colour, (name, (across, up)) in zip(CYCLE, groups.items(), strict=False):
        x, y = ([estimate.value for estimate in estimates] for estimates in (across, up))
        axes.errorbar(x, y, _error_bars(up), _error_bars(across), fmt="none", color=colour, alpha=0.3)
        axes.plot(x, y, "o", markersize=7, color=colour, label=name)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(loc="best", fontsize="small")
    return figure


@_styled
def bars_plot(groups: Sequence[Bars]) -> Figure:
    """Groups of horizontal bars one below the other, the first bar on top; bars below zero stand out in colour."""
    rows = [len(group.labels) for group in groups]
    figure = Figure(figsize=(WIDTH, sum(0.55 + 0.27 * count for count in rows)))
    grid = figure.subplots(len(groups), squeeze=False, height_ratios=[count + 1 for count in rows])
    for axes, group in zip(grid[:, 0], groups, strict=True):
        colours = [COLOURS["c1"] if value >= 0 else COLOURS["c2"] for value in group.values]
        drawn = axes.barh(range(len(group.labels)), group.values, color=colours, height=0.66)
        axes.bar_label(drawn, labels=list(group.texts), padding=4, fontsize="small")
        axes.set_yticks(range(len(group.labels)), [_short(label) for label in group.labels])
        axes.invert_yaxis()
        axes.axvline(0, color=COLOURS["muted"], linewidth=0.8)
        axes.set_title(group.title)
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(bottom=False, labelbottom=False, left=False)
        axes.margins(x=0.18)
    return figure


@_styled
def to_svg(figure: Figure, background: str = "white") -> str:
    """A figure as SVG text that stands alone; equal figures give equal text (no dates, a fixed hash salt)."""
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", facecolor=background, metadata=nothing)
    svg = stream.getvalue()
    return svg[svg.index("<svg") :]


def to_inline_svg(figure: Figure, name: str) -> str:
    """A figure as SVG for a page that defines the `COLOURS` as CSS variables (`--ink`, …) for light and dark.

    The ids get `name` before them, so that several figures can share a page.
    """
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", to_svg(figure, background="none"))
    for variable, value in COLOURS.items():
        svg = svg.replace(value, f"var(--{variable})")
    return svg


@_styled
def to_png(figure: Figure) -> bytes:
    """A figure as a PNG on white, 920 pixels wide, without date or version."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return stream.getvalue()
