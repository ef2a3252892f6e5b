"""A study's result page: what was asked, a plot, the numbers, the command. Markdown with an SVG beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.plumbing.files import replacing, write_text
from tutelage.report.figures import Panel, Series, panels_plot, to_svg
from tutelage.report.plain import duration
from tutelage.studies.points import Point
from tutelage.studies.preference import KINDS, QUARTERS, Study, paper_accuracy

TITLES: dict[Study, str] = {
    "size": "Accuracy against the number of comparisons",
    "mixture": "Helpful and harmless comparisons in one preference model",
    "weight": "What a harmless comparison counts in the loss",
    "agreement": "Two preference models of disjoint halves",
}
ACROSS: dict[Study, tuple[str, str]] = {
    "size": ("size", "helpful comparisons trained on"),
    "mixture": ("share", "share of harmless comparisons"),
    "weight": ("weight", "λ, what a harmless comparison counts"),
}


def write_page(study: Study, points: Sequence[Point], parameters: int, command: str, directory: Path) -> Path:
    """Write `STUDY.md` and `STUDY.svg`; returns the page's path."""
    lines = [f"# {TITLES[study]}", "", f"![{TITLES[study]}]({study}.svg)", "", *_table(study, points, parameters), ""]
    seconds = sum(point["seconds"] for point in points)
    lines += [f"Measured in {duration(seconds)}; intervals are 95%, over first human turns.", "", f"    {command}", ""]
    figure = to_svg(panels_plot(_panels(study, points, parameters), _across(study)))
    with replacing(directory / f"{study}.svg") as beside:
        beside.write_text(figure, encoding="utf-8")
    write_text(directory / f"{study}.md", "\n".join(lines))
    return directory / f"{study}.md"


def _across(study: Study) -> str:
    return ACROSS[study][1] if study in ACROSS else "score difference of the train-PM, nats"


def _panels(study: Study, points: Sequence[Point], parameters: int) -> list[Panel]:
    if study == "agreement":
        quarters = [quarter for point in points for quarter in point["by_quarter"]]
        across = np.array([quarter["apart"] for quarter in quarters])
        order = np.argsort(across)
        agreed = np.array([quarter["value"] for quarter in quarters])
        return [Panel("", "share on which both agree", [Series("by quarter", across[order], agreed[order])])]
    key = ACROSS[study][0]
    values = sorted({point[key] for point in points})
    across = np.array(values, dtype=np.float64)
    series = [Series(f"tried on {kind}", across, _means(points, key, values, kind)) for kind in KINDS]
    if study == "size":
        series.append(
            Series("paper's fit (eq. A.1)", across, np.array([paper_accuracy(parameters, n) for n in values]))
        )
    return [Panel("", "accuracy on held-out prompts", series)]


def _means(
    points: Sequence[Point], key: str, values: Sequence[Any], kind: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean accuracy over the seeds at each value."""
    return np.array([np.mean([p[kind]["value"] for p in points if p[key] == value]) for value in values])


def _table(study: Study, points: Sequence[Point], parameters: int) -> list[str]:
    if study == "agreement":
        rows = [
            [str(p["seed"]), _interval(p["agreement"]), f"{p['correlation']:.2f}"]
            + [f"{quarter['apart']:.2f}: {_interval(quarter)}" for quarter in p["by_quarter"]]
            for p in points
        ]
        quarters = [f"quarter {n} by difference (mean difference: agreement)" for n in range(1, QUARTERS + 1)]
        return _markdown(["seed", "agreement", "correlation of differences", *quarters], rows)
    key, name = ACROSS[study]
    rows = [[f"{p[key]:g}", str(p["seed"]), *(_interval(p[kind]) for kind in KINDS)] for p in points]
    header = [name, "seed", *(f"accuracy on {kind}" for kind in KINDS)]
    if study == "size":
        header.append("paper's fit")
        rows = [[*row, f"{paper_accuracy(parameters, p['size']):.1%}"] for row, p in zip(rows, points, strict=True)]
    return _markdown(header, rows)


def _interval(record: dict[str, float]) -> str:
    return f"{record['value']:.1%} [{record['low']:.1%}, {record['high']:.1%}]"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
