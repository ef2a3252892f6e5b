"""The tables of the studies' pages: shares with their intervals in per cent, differences of shares in points."""

from collections.abc import Iterable
from dataclasses import asdict

from tutelage.dialogue import Kind
from tutelage.report.plain import bracketed, markdown_table
from tutelage.statistics.intervals import Interval
from tutelage.studies.findings import Findings
from tutelage.studies.material import KINDS
from tutelage.studies.preference import QUARTERS, paper_accuracy


def table(findings: Findings) -> list[str]:
    """A study's table in Markdown, line by line."""
    rows = {"size": _sizes, "pmp": _pretrained, "mixture": _mixtures, "weight": _weights, "agreement": _agreements}
    header, *body = rows[findings.study](findings)
    return markdown_table(header, body)


def _sizes(findings: Findings) -> Iterable[list[str]]:
    yield ["helpful comparisons", "accuracy", "by seed", "paper's fit", "prefers the longer response"]
    for size in findings.values:
        fit = paper_accuracy(findings.parameters, size)
        longer = share(findings.prefers_longer(findings.at(size), ["helpful"]))
        yield [f"{size:,}", *_accuracy(findings, size, "helpful"), f"{fit:.1%}", longer]


def _pretrained(findings: Findings) -> Iterable[list[str]]:
    kinds = findings.material.kinds
    yield ["comparisons", "from the base", "pretrained", "gain", "by seed", *(f"gain on {kind}" for kind in kinds)]
    for size in findings.values:
        arms = base, pretrained = [findings.at(size, pretrained=which) for which in (False, True)]
        seeds = [findings.gain([new], [old], kinds).value for new, old in zip(pretrained, base, strict=True)]
        yield [
            f"{size:,}",
            *(share(findings.accuracy(points, kinds)) for points in arms),
            _points(findings.gain(pretrained, base, kinds)),
            ", ".join(f"{100 * gain:+.1f}" for gain in seeds),
            *(_points(findings.gain(pretrained, base, [kind])) for kind in kinds),
        ]


def _mixtures(findings: Findings) -> Iterable[list[str]]:
    accuracies = ["accuracy on helpful", "by seed", "accuracy on harmless", "by seed"]
    yield ["share of harmless", *accuracies, "prefers the longer response"]
    for part in findings.values:
        longer = share(findings.prefers_longer(findings.at(part), KINDS))
        yield [f"{part:.0%}", *(cell for kind in KINDS for cell in _accuracy(findings, part, kind)), longer]


def _weights(findings: Findings) -> Iterable[list[str]]:
    first = findings.values[0]
    against = f"both against λ = {first:g}"
    yield ["λ", "accuracy on helpful", "by seed", "accuracy on harmless", "by seed", "on both", against]
    for weight in findings.values:
        change = findings.gain(findings.at(weight), findings.at(first), KINDS)
        yield [
            f"{weight:g}",
            *(cell for kind in KINDS for cell in _accuracy(findings, weight, kind)),
            share(findings.accuracy(findings.at(weight), KINDS)),
            "" if weight == first else _points(change),
        ]


def _agreements(findings: Findings) -> Iterable[list[str]]:
    quarters = [f"quarter {n} by difference (mean difference: agreement)" for n in range(1, QUARTERS + 1)]
    longer = [f"the {name} prefers the longer response" for name in ("train-PM", "test-PM")]
    yield ["seed", "agreement", "correlation of differences", *quarters, *longer]
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


def _accuracy(findings: Findings, value: float, kind: Kind) -> list[str]:
    """Two cells: over the seeds, and each seed's."""
    points = findings.at(value)
    return [share(findings.accuracy(points, [kind])), ", ".join(f"{point[kind]['value']:.1%}" for point in points)]


def share(interval: Interval) -> str:
    return bracketed(asdict(interval), ".1%")


def _points(interval: Interval) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
