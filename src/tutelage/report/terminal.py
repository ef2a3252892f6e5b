"""A run of reinforcement learning in a terminal: a line a measure, with its curve in characters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from tutelage.report.plain import is_number
from tutelage.report.rl_page import findings, headline

Record = dict[str, Any]
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40  # characters of a curve
SHOWN = {
    "reward": "score, train-PM (nats)",
    "heldout_reward": "score, held-out PM (nats)",
    "kl": "KL (nats a response)",
    "kl_weight": "λ of the KL",
    "entropy": "entropy (nats a token)",
    "length": "length (tokens)",
    "truncated": "cut off (share)",
    "repetition": "repetition (share)",
    "refusals": "refusals (share)",
    "clip_fraction": "clip fraction",
    "explained_variance": "explained variance",
    "seconds": "time (s)",
}


def live_view(steps: Sequence[Record]) -> Group:
    """The headline, and for every measure that the steps have its first value, its last and its curve."""
    table = Table("", Column("first", justify="right"), Column("now", justify="right"), f"{len(steps)} steps")
    for key, title in SHOWN.items():
        values = [float(step[key]) for step in steps if is_number(step.get(key))]
        if values:
            table.add_row(title, f"{values[0]:.3g}", f"{values[-1]:.3g}", sparkline(values))
    return Group(Text(headline(findings(list(steps)))), table)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve of at most `width` characters, lowest to highest; many values are averaged, a level curve lies low."""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(width, len(values)))
    means = np.array([part.mean() for part in parts])
    low, spread = means.min(), np.ptp(means)
    places = np.zeros(len(means)) if spread == 0 else (means - low) / spread * (len(BARS) - 1)
    return "".join(BARS[round(place)] for place in places)
