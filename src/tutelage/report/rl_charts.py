"""From the metrics of one run of reinforcement learning to its figures. What no step measured gives no figure."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tutelage.report.charts import ANSWERS, REWARD_AGAINST_KL, step_panels
from tutelage.report.charts import CHARTS as RUN_CHARTS
from tutelage.report.figures import Bars, Panel, Series, bars_plot, panels_plot
from tutelage.report.plain import duration, is_number, percent
from tutelage.statistics.best_of import best_of_kl

Record = dict[str, Any]
Fields = dict[str, tuple[str, str]]

DISTANCE: Fields = {
    "kl": ("KL from the reference", "nats per response"),
    "kl_initial": ("KL from the initial policy", "nats per response"),
    "kl_weight": ("λ, what a nat of it costs", "score"),
}
TRUNCATED: Fields = {"truncated": ("cut off at the length limit", "share")}
TRAINING: Fields = {
    "clip_fraction": ("clip fraction", "share"),
    "explained_variance": ("explained variance of the critic", "share"),
    "gradient_norm": ("norm of the gradient before clipping", ""),
    "learning_rate": ("learning rate", ""),
}


def _time(run: Record) -> Figure | None:
    """Mean seconds of a step by part, where the steps tell the parts apart."""
    keys = ("sampling_seconds", "rollout_seconds", "seconds")
    if not run["steps"] or not all(is_number(step.get(key)) for step in run["steps"] for key in keys):
        return None
    ends = [float(np.mean([step[key] for step in run["steps"]])) for key in keys]
    parts = np.diff([0.0, *ends])
    names = ["sampling", "scoring", "training"]
    texts = [f"{duration(part)}, {percent(part / ends[-1])}" for part in parts.tolist()]
    return bars_plot([Bars("mean time of a step", names, parts, texts)])


def _best_of(run: Record) -> Figure | None:
    """The expected score of the best of k by either PM, over the distance that choosing it goes."""
    curve = [row for row in run.get("best_of") or [] if isinstance(row, dict)]
    if not curve:
        return None
    across = np.sqrt([best_of_kl(row["k"]) for row in curve])
    names = {"reward": "train-PM (that chooses)", "heldout_reward": "held-out PM (that does not)"}
    series = [
        Series(name, across, np.array([row[key]["value"] for row in curve], dtype=np.float64))
        for key, name in names.items()
        if all(isinstance(row.get(key), dict) for row in curve)
    ]
    return panels_plot([Panel("", "score (nats)", series)], "√KL of best-of-k (√nats)")


def _steps(run: Record, fields: Fields) -> Figure | None:
    return step_panels({"rounds": [run]}, fields)


def _as_round(run: Record, name: str) -> Figure | None:
    return RUN_CHARTS[name]({"rounds": [run]})


CHARTS: dict[str, Callable[[Record], Figure | None]] = {
    REWARD_AGAINST_KL: partial(_as_round, name=REWARD_AGAINST_KL),
    "pm-scores": partial(_as_round, name="pm-scores"),
    "distance": partial(_steps, fields=DISTANCE),
    "answers": partial(_steps, fields=ANSWERS | TRUNCATED),
    "training": partial(_steps, fields=TRAINING),
    "best-of": _best_of,
    "time": _time,
}
