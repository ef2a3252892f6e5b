"""The tables of the studies' pages: shares with their intervals in per cent, differences of shares in points."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from tutelage.dialogue import Kind
from tutelage.report.plain import bracketed, markdown_table
from tutelage.statistics.intervals import Interval, mean_interval
from tutelage.studies.findings import Findings
from tutelage.studies.material import KINDS
from tutelage.studies.points import Point
from tutelage.studies.preference import QUARTERS, paper_accuracy

SEEDS = "over seeds"
FEWEST_SEEDS = 4  # below, the interval of their mean is wider than what they show


def table(findings: Findings) -> list[str]:
    """A study's table in Markdown, line by line."""
    rows = {"size": _sizes, "pmp": _pretrained, "mixture": _mixtures, "weight": _weights, "agreement": _agreements}
    header, *body = rows[findings.study](findings)
    return markdown_table(header, body)


def _sizes(findings: Findings) -> Iterable[list[str]]:
    kinds = findings.material.kinds
    fitted = ["paper's fit"] if kinds == ["helpful"] else []
    accuracies = [cell for kind in kinds for cell in (f"accuracy on {kind}", SEEDS)]
    yield ["layers", "parameters", "comparisons", *accuracies, *fitted, "prefers the longer response"]
    for layers in findings.depths:
        parameters = findings.parameters(layers)
        for size in findings.values:
            points = findings.at(size, layers=layers)
            yield [
                str(layers or "all"),
                f"{parameters / 1e6:.0f}M",
                f"{size:,}",
                *(cell for kind in kinds for cell in _accuracy(findings, points, kind)),
                *(f"{paper_accuracy(parameters, size):.1%}" for _ in fitted),
                share(findings.prefers_longer(points, kinds)),
            ]


def _pretrained(findings: Findings) -> Iterable[list[str]]:
    kinds = findings.material.kinds
    yield ["comparisons", "from the base", "pretrained", "gain", SEEDS, *(f"gain on {kind}" for kind in kinds)]
    for size in findings.values:
        arms = base, pretrained = [findings.at(size, pretrained=which) for which in (False, True)]
        seeds = [100 * findings.gain([new], [old], kinds).value for new, old in zip(pretrained, base, strict=True)]
        yield [
            f"{size:,}",
            *(share(findings.accuracy(points, kinds)) for points in arms),
            _points(findings.gain(pretrained, base, kinds)),
            _over_seeds(seeds, "+.1f"),
            *(_points(findings.gain(pretrained, base, [kind])) for kind in kinds),
        ]


def _mixtures(findings: Findings) -> Iterable[list[str]]:
    accuracies = ["accuracy on helpful", SEEDS, "accuracy on harmless", SEEDS]
    yield ["share of harmless", *accuracies, "prefers the longer response"]
    for part in findings.values:
        longer = share(findings.prefers_longer(findings.at(part), KINDS))
        yield [
            f"{part:.0%}",
            *(cell for kind in KINDS for cell in _accuracy(findings, findings.at(part), kind)),
            longer,
        ]


def _weights(findings: Findings) -> Iterable[list[str]]:
    first = findings.values[0]
    against = f"both against λ = {first:g}"
    yield ["λ", "accuracy on helpful", SEEDS, "accuracy on harmless", SEEDS, "on both", against]
    for weight in findings.values:
        change = findings.gain(findings.at(weight), findings.at(first), KINDS)
        yield [
            f"{weight:g}",
            *(cell for kind in KINDS for cell in _accuracy(findings, findings.at(weight), kind)),
            share(findings.accuracy(findings.at(weight), KINDS)),
            "" if weight == first else _points(change),
        ]


def _agreements(findings: Findings) -> Iterable[list[str]]:
    quarters = [f"quarter {n} by difference (mean difference: agreement)" for n in range(1, QUARTERS + 1)]
    longer = [f"the {name} prefers the longer response" for name in ("train-PM", "test-PM")]
    yield ["seed", "agreement", "correlation of differences", *quarters, *longer]
    if len(findings.points) >= FEWEST_SEEDS:
        yield ["mean, over seeds", *_mean_agreement(findings)]
    for point in findings.points:
        yield [
            str(point["seed"]),
            bracketed(point["agreement"], ".1%"),
            f"{point['correlation']:.2f}",
            *(f"{quarter['apart']:.2f}: {bracketed(quarter, '.1%')}" for quarter in point["by_quarter"]),
            *(
                share(findings.prefers_longer([point[name]], findings.material.kinds))
                for name in ("train_pm", "test_pm")
            ),
        ]


def _mean_agreement(findings: Findings) -> Iterable[str]:
    """The cells of a seed, as means with their intervals over the seeds."""
    points, kinds = findings.points, findings.material.kinds

    def mean(values: Sequence[float]) -> Interval:
        return mean_interval(values, range(len(values)))

    yield share(mean([point["agreement"]["value"] for point in points]))
    yield bracketed(asdict(mean([point["correlation"] for point in points])), ".2f")
    for quarter in zip(*(point["by_quarter"] for point in points), strict=True):
        apart = sum(one["apart"] for one in quarter) / len(quarter)
        yield f"{apart:.2f}: {share(mean([one['value'] for one in quarter]))}"
    for name in ("train_pm", "test_pm"):
        yield share(mean([findings.prefers_longer([point[name]], kinds).value for point in points]))


def _accuracy(findings: Findings, points: Sequence[Point], kind: Kind) -> list[str]:
    """Two cells: with the interval over prompts, and over the seeds."""
    by_seed = [point[kind]["value"] for point in points]
    return [share(findings.accuracy(points, [kind])), _over_seeds(by_seed, ".1%")]


def _over_seeds(values: Sequence[float], form: str) -> str:
    """The ends of the mean's interval over the seeds; of fewer seeds than tell of it, their values."""
    if len(values) < FEWEST_SEEDS:
        return ", ".join(f"{value:{form}}" for value in values)
    mean = mean_interval(values, range(len(values)))
    return f"[{mean.low:{form}}, {mean.high:{form}}]"


def share(interval: Interval) -> str:
    return bracketed(asdict(interval), ".1%")


def _points(interval: Interval) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
