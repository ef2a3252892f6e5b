"""A run of reinforcement learning in a terminal: a line a measure, with its curve in characters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from tutelage.report.plain import cleaned, decimal, is_number
from tutelage.report.rl_page import findings, headline, slopes

Record = dict[str, Any]
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40  # characters of a curve
TEXT = 200  # of a prompt's end, and of an answer
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


def live_view(steps: Sequence[Record], samples: Sequence[Record] = ()) -> Group:
    """The headline with the fitted lines, for every measure that the steps have its first value, its last and its
    curve, and the latest batch's first answer."""
    table = Table("", Column("first", justify="right"), Column("now", justify="right"), f"{len(steps)} steps")
    for key, title in SHOWN.items():
        values = [float(step[key]) for step in steps if is_number(step.get(key))]
        if values:
            table.add_row(title, f"{values[0]:.3g}", f"{values[-1]:.3g}", sparkline(values))
    shows = findings(list(steps))
    return Group(Text("\n".join([headline(shows), *slopes(shows)])), table, *_latest(samples))


def _latest(samples: Sequence[Record]) -> list[Text]:
    """The first sample of the last step that has some, with the end of its prompt: a model's text counts as hostile."""
    if not samples:
        return []
    step = samples[-1]["step"]
    sample = cleaned(next(sample for sample in samples if sample["step"] == step))
    asked = " ".join(sample["prompt"].split())[-TEXT:]
    answer = " ".join(sample["response"].split())[:TEXT] or "(no text)"
    return [Text(f"step {step}, train-PM {decimal(sample['reward'])}\n… {asked}\n→ {answer}")]


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve of at most `width` characters, lowest to highest; many values are averaged, a level curve lies low."""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(width, len(values)))
    means = np.array([part.mean() for part in parts])
    low, spread = means.min(), np.ptp(means)
    places = np.zeros(len(means)) if spread == 0 else (means - low) / spread * (len(BARS) - 1)
    return "".join(BARS[round(place)] for place in places)
