"""A study's result page: what was asked, a plot, the numbers, what they do not say, the command. Markdown with an SVG
beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tutelage.dialogue import Kind
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.files import replacing, write_text
from tutelage.report.figures import Curve, Estimate, Series, estimates_plot, to_svg
from tutelage.report.plain import duration
from tutelage.statistics.intervals import Interval
from tutelage.studies.material import KINDS, Material
from tutelage.studies.over_seeds import accuracy_over, gain_over
from tutelage.studies.points import Point
from tutelage.studies.preference import QUARTERS, Study, paper_accuracy, parameters_below
from tutelage.training.preference import PreferenceSettings

TITLES: dict[Study, str] = {
    "size": "Accuracy against the number of comparisons",
    "pmp": "With and without pretraining on votes",
    "mixture": "Helpful and harmless comparisons in one preference model",
    "weight": "What a harmless comparison counts in the loss",
    "agreement": "Two preference models of disjoint halves",
}
QUESTIONS: dict[Study, str] = {
    "size": "How much better does a preference model get with more comparisons, and is it as the paper's fit says (Bai "
    "et al. 2022, equation A.1; its natural logarithms, and the parameters of the layers in use, without embeddings)?",
    "pmp": "Does a preference model that was first trained on votes need fewer of people's comparisons? Both arms see "
    "the same comparisons, helpful and harmless as they come, in the same order.",
    "mixture": "One model for both kinds, always of the same number of comparisons: what does it lose on each against "
    "one that saw that kind alone? In the paper, one-sided models were well below chance on the other kind.",
    "weight": "Half of the comparisons are helpful, half harmless; the loss is helpful + λ · harmless. In the paper "
    "the mean of both accuracies was best at λ = 2 to 3; going from 1 to 10 cost a 13M model 7.4% of helpfulness and a "
    "52B model 1.5%.",
    "agreement": "A policy is trained against one preference model, the train-PM, and watched by another, the test-PM, "
    "that saw other comparisons. How often do they prefer the same of two responses, and more often where the first "
    "holds the two further apart?",
}
LIMITS: dict[Study, str] = {
    "size": "The fit describes models of 13M to 52B parameters that were trained whole; below some thousand "
    "comparisons it is an extrapolation. A base cut to its first layers need not be as good as a model made so.",
    "pmp": "The paper pretrains on more votes by orders of magnitude: a gain that is absent here says nothing of such "
    "amounts.",
    "mixture": "That larger models have both, with a flat top between the ends, is a finding about models beyond this "
    "size.",
    "weight": "Where the intervals of neighbouring λ overlap, this shows which way λ pulls, not which one is best.",
    "agreement": "These are responses that people were shown, not those of a policy that was trained against the "
    "train-PM, where the two part (the paper's figure on robustness).",
}
ACROSS: dict[Study, tuple[str, str]] = {
    "size": ("size", "helpful comparisons trained on"),
    "pmp": ("size", "comparisons trained on"),
    "mixture": ("share", "share of harmless comparisons"),
    "weight": ("weight", "λ, what a harmless comparison counts"),
}


@dataclass(frozen=True)
class Findings:
    """A study's points, and what they were measured with."""

    study: Study
    points: Sequence[Point]
    material: Material
    trunk: Trunk
    settings: PreferenceSettings

    @property
    def parameters(self) -> int:
        """Of the layers below the score head."""
        return parameters_below(self.trunk, self.settings.layers)

    @property
    def values(self) -> list[float]:
        """The values that were varied, in order."""
        return sorted({point[self.key] for point in self.points})

    @property
    def key(self) -> str:
        return ACROSS[self.study][0]

    def at(self, value: float, **also: Any) -> list[Point]:
        """The points of a value, one a seed."""
        wanted = {self.key: value, **also}
        return [point for point in self.points if all(point[key] == said for key, said in wanted.items())]

    def accuracy(self, value: float, kinds: Sequence[Kind], **also: Any) -> Interval:
        return accuracy_over(self.at(value, **also), self.material, kinds)

    def curve(self, label: str, kinds: Sequence[Kind], **also: Any) -> Curve:
        intervals = [self.accuracy(value, kinds, **also) for value in self.values]
        return Curve(label, self.values, [Estimate("", one.value, one.low, one.high) for one in intervals])


def write_page(findings: Findings, command: str, directory: Path) -> Path:
    """Write `STUDY.md` and `STUDY.svg`; returns the page's path."""
    study = findings.study
    seconds = sum(point["seconds"] for point in findings.points)
    lines = [
        f"# {TITLES[study]}", "", QUESTIONS[study], "", _bench(findings), "",
        f"![{TITLES[study]}]({study}.svg)", "", *_table(findings), "",
        "Intervals are 95%, over first human turns, each pair's outcome averaged over the seeds: they say how far "
        "another test set would move a figure. How far another training set would, the seeds beside it say.", "",
        f"**What this cannot show.** {LIMITS[study]}", "",
        f"Training and scoring took {duration(seconds)}. The command:", "", f"    {command}", "",
    ]  # fmt: skip
    with replacing(directory / f"{study}.svg") as beside:
        beside.write_text(to_svg(_figure(findings)), encoding="utf-8")
    write_text(directory / f"{study}.md", "\n".join(lines))
    return directory / f"{study}.md"


def _bench(findings: Findings) -> str:
    """What was trained, and what it was tried on."""
    material = findings.material
    tried = " and ".join(
        f"{len(prompts)} {kind} pairs ({len(set(prompts))} first human turns)"
        for kind in material.kinds
        for prompts in [material.prompts([kind])]
    )
    seeds = len({point["seed"] for point in findings.points})
    left_out = f" Left out: {dict(material.drops)}." if material.drops else ""
    settings = findings.settings
    depth = f"the first {settings.layers} layers" if settings.layers else "all layers"
    adapter = f"LoRA of rank {settings.rank}" if settings.rank else "whole weights"
    return (
        f"{findings.trunk.name}, {depth} ({findings.parameters / 1e6:.0f}M parameters without embeddings), {adapter}, "
        f"pooling {settings.pooling}, rows of at most {settings.max_tokens} tokens. {seeds} seed"
        f"{'s' if seeds > 1 else ''} a figure, tried on {tried}, none of which was trained on.{left_out}"
    )


def _figure(findings: Findings) -> Figure:
    study = findings.study
    if study == "agreement":
        return _agreement_figure(findings.points)
    across, up = np.array(findings.values, dtype=np.float64), "accuracy on held-out prompts"
    expected = [Series("chance", across, np.full(len(across), 0.5))]
    if study == "pmp":
        curves = [
            findings.curve(name, findings.material.kinds, pretrained=pretrained)
            for name, pretrained in (("from the base", False), ("pretrained", True))
        ]
    else:
        curves = [findings.curve(f"tried on {kind}", [kind]) for kind in findings.material.kinds]
    if study == "size":
        fit = np.array([paper_accuracy(findings.parameters, size) for size in findings.values])
        expected.append(Series("paper's fit (eq. A.1)", across, fit))
    return estimates_plot(curves, expected, ACROSS[study][1], up, log_x=study != "mixture")


def _agreement_figure(points: Sequence[Point]) -> Figure:
    curves = [
        Curve(
            f"seed {point['seed']}",
            [quarter["apart"] for quarter in point["by_quarter"]],
            [Estimate("", quarter["value"], quarter["low"], quarter["high"]) for quarter in point["by_quarter"]],
        )
        for point in points
    ]
    chance = Series("chance", [0, max(max(curve.x) for curve in curves)], [0.5, 0.5])
    across = "score difference of the train-PM, nats (means of its quarters)"
    return estimates_plot(curves, [chance], across, "share on which both agree")


def _table(findings: Findings) -> list[str]:
    rows = {"size": _sizes, "pmp": _pretrained, "mixture": _mixtures, "weight": _weights, "agreement": _agreements}
    header, *body = rows[findings.study](findings)
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *body)]


def _sizes(findings: Findings) -> Iterable[list[str]]:
    yield ["helpful comparisons", "accuracy", "by seed", "paper's fit"]
    for size in findings.values:
        fit = paper_accuracy(findings.parameters, size)
        yield [f"{size:,}", *_accuracy(findings, size, "helpful"), f"{fit:.1%}"]


def _pretrained(findings: Findings) -> Iterable[list[str]]:
    kinds = findings.material.kinds
    yield ["comparisons", "from the base", "pretrained", "gain", *(f"gain on {kind}" for kind in kinds)]
    for size in findings.values:
        base, pretrained = (findings.at(size, pretrained=which) for which in (False, True))
        accuracies = (accuracy_over(points, findings.material, kinds) for points in (base, pretrained))
        gains = (gain_over(pretrained, base, findings.material, part) for part in (kinds, *([kind] for kind in kinds)))
        yield [f"{size:,}", *map(_interval, accuracies), *map(_change, gains)]


def _mixtures(findings: Findings) -> Iterable[list[str]]:
    yield ["share of harmless", "accuracy on helpful", "by seed", "accuracy on harmless", "by seed"]
    for share in findings.values:
        yield [f"{share:.0%}", *_accuracy(findings, share, "helpful"), *_accuracy(findings, share, "harmless")]


def _weights(findings: Findings) -> Iterable[list[str]]:
    first = findings.values[0]
    against = f"both against λ = {first:g}"
    yield ["λ", "accuracy on helpful", "by seed", "accuracy on harmless", "by seed", "on both", against]
    for weight in findings.values:
        change = gain_over(findings.at(weight), findings.at(first), findings.material, KINDS)
        kinds = [cell for kind in KINDS for cell in _accuracy(findings, weight, kind)]
        both = _interval(findings.accuracy(weight, KINDS))
        yield [f"{weight:g}", *kinds, both, "" if weight == first else _change(change)]


def _agreements(findings: Findings) -> Iterable[list[str]]:
    quarters = [f"quarter {n} by difference (mean difference: agreement)" for n in range(1, QUARTERS + 1)]
    yield ["seed", "agreement", "correlation of differences", *quarters]
    for point in findings.points:
        parts = [f"{quarter['apart']:.2f}: {_share(quarter)}" for quarter in point["by_quarter"]]
        yield [str(point["seed"]), _share(point["agreement"]), f"{point['correlation']:.2f}", *parts]


def _accuracy(findings: Findings, value: float, kind: Kind) -> list[str]:
    """Two cells: over the seeds, and each seed's."""
    seeds = ", ".join(f"{point[kind]['value']:.1%}" for point in findings.at(value))
    return [_interval(findings.accuracy(value, [kind])), seeds]


def _interval(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _share(record: dict[str, float]) -> str:
    return _interval(Interval(record["value"], record["low"], record["high"]))


def _change(interval: Interval) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
