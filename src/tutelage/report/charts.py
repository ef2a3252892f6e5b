"""From a run's summary to its figures. A part that the run did not measure gives no figure, and the page says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tutelage.plumbing.files import replacing, write_text
from tutelage.report.figures import (
    Bars,
    Estimate,
    Panel,
    Series,
    bars_plot,
    calibration_plot,
    in_percent,
    interval_plot,
    panels_plot,
    scatter_plot,
    to_png,
    to_svg,
)
from tutelage.report.plain import cleaned, duration, is_number, memory, percent
from tutelage.statistics.overoptimisation import Line, fitted_line, parting

Record = dict[str, Any]
RATINGS, REWARD_AGAINST_KL = "ratings", "reward-against-kl"
TRAIN_PM, HELDOUT_PM = "train-PM (what PPO sees)", "held-out PM (what it never sees)"
ANSWERS = {
    "entropy": ("entropy", "nats per token"),
    "length": ("response length", "tokens"),
    "repetition": ("word triples said before in the same response", "share"),
    "refusals": ("refusals", "share"),
}
NATS = "nats"


def _records(parent: Any, key: str) -> list[Record]:
    found = parent.get(key) if isinstance(parent, dict) else None
    return [record for record in found or [] if isinstance(record, dict)]


def _number(value: Any) -> float:
    return float(value) if is_number(value) else float("nan")


def column(records: list[Record], key: str) -> NDArray[np.float64]:
    """The numbers of the records under this key; NaN where one has none."""
    return np.array([_number(record.get(key)) for record in records], dtype=np.float64)


def _estimates(*rows: tuple[str, Any], key: str = "value") -> list[Estimate]:
    """Rows of label and record, those left out that hold no value."""
    return [
        Estimate(label, float(record[key]), _number(record.get("low")), _number(record.get("high")))
        for label, record in rows
        if isinstance(record, dict) and is_number(record.get(key))
    ]


def _ratings(summary: Record) -> Figure | None:
    estimates = _estimates(*((str(r.get("snapshot")), r) for r in _records(summary, "ratings")), key="elo")
    return interval_plot(estimates, "Elo points", lambda e: f"{e.value:.0f}") if estimates else None


def _shares(estimates: list[Estimate], xlabel: str, reference: tuple[float, str] | None) -> Figure | None:
    if not estimates:
        return None
    figure = interval_plot(estimates, xlabel, lambda e: percent(e.value), reference)
    in_percent(figure.axes[0].xaxis)
    return figure


def _win_rates(summary: Record) -> Figure | None:
    by_kind = summary.get("win_rate_final_vs_base_by_kind") or {}
    rows = [("all prompts", summary.get("win_rate_final_vs_base"))]
    rows += [(kind.replace("_", " "), record) for kind, record in by_kind.items()]
    return _shares(_estimates(*rows), "share of comparisons won against the base", (0.5, "no difference"))


def _pairs(summary: Record) -> Figure | None:
    rows = ((f"{r.get('a')} against {r.get('b')}", r) for r in _records(summary, "win_rates"))
    return _shares(_estimates(*rows), "share of comparisons won by the first", (0.5, "no difference"))


def _accuracy(summary: Record) -> Figure | None:
    rows: list[tuple[str, Any]] = []
    for record in _records(summary, "rounds"):
        name = f"round {record.get('round')}"
        rows += [(f"{name}, train-PM", record.get("pm_accuracy"))]
        rows += [(f"{name}, held-out PM", record.get("heldout_pm_accuracy"))]
    overall = summary.get("pm_accuracy")
    estimates = _estimates(*rows) or _estimates(("PM", overall))
    ceiling = _number(overall.get("ceiling") if isinstance(overall, dict) else None)
    reference = (ceiling, f"ceiling {percent(ceiling)}") if np.isfinite(ceiling) else None
    return _shares(estimates, "share of held-out comparisons told right", reference)


def _gains(steps: list[Record]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Train-PM and held-out PM scores since the first step that has both: two PMs share no zero (section B.2)."""
    reward, heldout = column(steps, "reward"), column(steps, "heldout_reward")
    scored = np.isfinite(reward) & np.isfinite(heldout)
    if not scored.any():
        return reward, heldout
    start = int(np.argmax(scored))
    return reward - reward[start], heldout - heldout[start]


def _score_panels(summary: Record, key: str) -> list[Panel]:
    """A panel a round: the gain by either PM over the column `key` of its steps."""
    panels = []
    for record in _records(summary, "rounds"):
        steps = _records(record, "steps")
        x, (train, heldout) = column(steps, key), _gains(steps)
        if np.isfinite(x).any() and np.isfinite(train).any():
            scores = [Series(TRAIN_PM, x, train), Series(HELDOUT_PM, x, heldout)]
            panels.append(Panel(_title(record), f"gain ({_unit(summary)})", scores))
    return panels


def _unit(summary: Record) -> str:
    """What the scores of preference models are measured in."""
    return str(summary.get("score_unit", NATS))


def _title(record: Record) -> str:
    return str(record.get("name") or f"round {record.get('round')}")


def _with_lines(panel: Panel, unit: str) -> Panel:
    """The panel with the least-squares line of each series, and their slopes and R² as its note."""
    fitted = [(series, fitted_line(series.x, series.y)) for series in panel.series]
    ends = np.array([np.nanmin(panel.series[0].x), np.nanmax(panel.series[0].x)])
    lines = [Series(series.label, ends, line.intercept + line.slope.value * ends) for series, line in fitted if line]
    slopes = [_said(series.label, line, unit) for series, line in fitted if line]
    return panel._replace(lines=lines, note="\n".join(slopes))


def _said(label: str, line: Line, unit: str) -> str:
    name = label.split(" (")[0]
    return f"{name}: {line.slope.value:+.2f} {unit} per √nat, R² {line.r_squared:.2f}"


def _with_parting(panel: Panel) -> Panel:
    """The panel, over steps, with a line where the two scores part, if it is shown that they do."""
    (train, heldout) = panel.series
    found = parting(train.y, heldout.y)
    if found is None:
        return panel
    values = np.concatenate([train.y, heldout.y])
    hinge = Series("part", [train.x[round(found.step.value)]] * 2, [np.nanmin(values), np.nanmax(values)])
    low, high = (train.x[round(end)] for end in (found.step.low, found.step.high))
    return panel._replace(lines=[hinge], note=f"they part at step {hinge.x[0]:.0f} [{low:.0f}, {high:.0f}]")


def _reward_against_kl(summary: Record) -> Figure | None:
    panels = [_with_lines(panel, _unit(summary)) for panel in _score_panels(summary, "sqrt_kl")]
    return panels_plot(panels, "√KL from the initial policy (√nats)", joined=False, same_scale=True) if panels else None


def _pm_scores(summary: Record) -> Figure | None:
    panels = [_with_parting(panel) for panel in _score_panels(summary, "step")]
    return panels_plot(panels, "step", same_scale=True) if panels else None


def step_panels(summary: Record, fields: dict[str, tuple[str, str]]) -> Figure | None:
    """A panel a field (key → title, unit) with a line a round; fields that no step has are left out."""
    rounds = [(_title(r), _records(r, "steps")) for r in _records(summary, "rounds")]
    panels = []
    for key, (title, unit) in fields.items():
        series = [Series(name, column(steps, "step"), column(steps, key)) for name, steps in rounds]
        if any(np.isfinite(line.y).any() for line in series):
            panels.append(Panel(title, unit, series))
    return panels_plot(panels, "step") if panels else None


def _entropy_and_length(summary: Record) -> Figure | None:
    return step_panels(summary, ANSWERS)


def _health(summary: Record) -> Figure | None:
    return step_panels(
        summary,
        {
            "clip_fraction": ("clip fraction", "share"),
            "explained_variance": ("explained variance of the critic", "share"),
            "truncated": ("responses cut off at the length limit", "share"),
        },
    )


def _calibration(summary: Record) -> Figure | None:
    bins = [b for b in _records(summary.get("calibration"), "bins") if is_number(b.get("confidence"))]
    bins = [b for b in bins if is_number(b.get("accuracy"))]
    if not bins:
        return None
    counts = [f"{b['pairs']} pairs" if is_number(b.get("pairs")) else "" for b in bins]
    return calibration_plot(_estimates(*(("", b) for b in bins), key="accuracy"), column(bins, "confidence"), counts)


def _snapshot_scores(summary: Record) -> Figure | None:
    across, up = [], []
    for record in _records(summary, "snapshot_scores"):
        name = str(record.get("snapshot"))
        both = _estimates((name, record.get("helpful")), (name, record.get("harmless")))
        if len(both) == 2:
            across.append(both[0])
            up.append(both[1])
    return scatter_plot(across, up, "helpful score →", "harmless score →") if across else None


def _gain_features(summary: Record) -> Figure | None:
    groups = []
    for kind in ("helpful", "harmless"):
        features = [f for f in _records(summary.get("gain_features"), kind) if is_number(f.get("share"))]
        shares = column(features, "share")
        names = [str(f.get("feature")).replace("_", " ") for f in features]
        if features:
            groups.append(Bars(f"{kind} gain", names, shares, [percent(share) for share in shares]))
    return bars_plot(groups) if groups else None


def _stages(summary: Record) -> Figure | None:
    groups = []
    for key, title, text in (("wall_seconds", "wall time", duration), ("peak_memory_bytes", "peak memory", memory)):
        stages = [s for s in _records(summary, "stages") if is_number(s.get(key))]
        values = column(stages, key)
        if stages:
            groups.append(Bars(title, [str(s.get("name")) for s in stages], values, [text(value) for value in values]))
    return bars_plot(groups) if groups else None


CHARTS: dict[str, Callable[[Record], Figure | None]] = {
    RATINGS: _ratings,
    "win-rates": _win_rates,
    "pairs": _pairs,
    REWARD_AGAINST_KL: _reward_against_kl,
    "pm-scores": _pm_scores,
    "accuracy": _accuracy,
    "calibration": _calibration,
    "snapshot-scores": _snapshot_scores,
    "entropy-and-length": _entropy_and_length,
    "health": _health,
    "gain-features": _gain_features,
    "stages": _stages,
}


def write_figures(summary: Record, directory: Path) -> list[Path]:
    """Write the ratings and the reward-against-√KL plots as .svg and .png files; returns those that had data.

    Raises:
        InputError: the directory cannot be written.
    """
    written = []
    for name in (RATINGS, REWARD_AGAINST_KL):
        figure = CHARTS[name](cleaned(summary))
        if figure is None:
            continue
        svg, png = directory / f"{name}.svg", directory / f"{name}.png"
        write_text(svg, to_svg(figure))
        with replacing(png) as beside:
            beside.write_bytes(to_png(figure))
        written += [svg, png]
    return written
