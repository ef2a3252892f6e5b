"""A study's result page: what was asked, a plot, the numbers, what they do not say, the command. Markdown with an SVG
beside it."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from tutelage.dialogue import Kind
from tutelage.plumbing.files import replacing, write_text
from tutelage.report.figures import Curve, Estimate, Series, estimates_plot, to_svg
from tutelage.report.plain import duration
from tutelage.statistics.intervals import mean_interval
from tutelage.studies.findings import Findings
from tutelage.studies.points import Point
from tutelage.studies.preference import Study, paper_accuracy
from tutelage.studies.tables import FEWEST_SEEDS, share, table

TITLES: dict[Study, str] = {
    "size": "Accuracy against the number of comparisons",
    "pmp": "With and without pretraining on votes",
    "mixture": "Helpful and harmless comparisons in one preference model",
    "weight": "What a harmless comparison counts in the loss",
    "agreement": "Two preference models of disjoint halves",
}
QUESTIONS: dict[Study, str] = {
    "size": "How much better does a preference model get with more comparisons and more layers, and is it as the "
    "paper's fit for helpful ones says (Bai et al. 2022, equation A.1; its natural logarithms, and the parameters of "
    "the layers in use, without embeddings)?",
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
ACROSS: dict[Study, str] = {
    "size": "comparisons trained on",
    "pmp": "comparisons trained on",
    "mixture": "share of harmless comparisons",
    "weight": "λ, what a harmless comparison counts",
    "agreement": "score difference of the train-PM, nats (means of its quarters)",
}
INTERVALS = (
    "Intervals are 95%. Behind a figure: over first human turns, each pair's outcome averaged over the seeds; they say "
    "how far another test set would move it. *Over seeds* (the interval of their mean, or each one's figure): how far "
    "another training set would, but that all are drawn from the same comparisons, and differ the less the more of "
    "these they take."
)


def write_page(findings: Findings, command: str, directory: Path) -> Path:
    """Write `STUDY.md` and `STUDY.svg`; returns the page's path."""
    study = findings.study
    limits = f"**What this cannot show.** {LIMITS[study]}"
    time = f"Making and trying all the models took {duration(findings.seconds)}. The command:"
    blocks = [
        f"# {TITLES[study]}",
        *(fill(text, 120) for text in (QUESTIONS[study], _models(findings), _tried(findings))),
        f"![{TITLES[study]}]({study}.svg)",
        "\n".join(table(findings)),
        *(fill(text, 120) for text in (INTERVALS, limits, time)),
        f"    {command}\n",
    ]
    with replacing(directory / f"{study}.svg") as beside:
        beside.write_text(to_svg(_figure(findings)), encoding="utf-8")
    write_text(directory / f"{study}.md", "\n\n".join(blocks))
    return directory / f"{study}.md"


def _models(findings: Findings) -> str:
    seeds = len({point["seed"] for point in findings.points})
    return (
        f"{findings.trunk.name}, {_depths(findings)}, {_learnt(findings)}, pooling {findings.settings.pooling}, "
        f"rows of at most {findings.settings.max_tokens} tokens; {seeds} seed{'s' if seeds > 1 else ''} a figure."
    )


def _depths(findings: Findings) -> str:
    depths = findings.depths
    said = " or ".join(str(layers) for layers in depths if layers)
    parts = [f"the first {said} layers"] if said else []
    parts += ["all layers"] if None in depths else []
    parameters = ", ".join(f"{findings.parameters(layers) / 1e6:.0f}M" for layers in depths)
    return f"{' or '.join(parts)} ({parameters} parameters without embeddings)"


def _learnt(findings: Findings) -> str:
    settings = findings.settings
    if not findings.penalties:
        return f"fine-tuned in one pass ({f'LoRA of rank {settings.rank}' if settings.rank else 'whole weights'})"
    chosen = ", ".join(f"{penalty:g} by {count}" for penalty, count in findings.penalties.items())
    return f"frozen, with linear probes (L2 penalty chosen on parts of their own comparisons: {chosen})"


def _tried(findings: Findings) -> str:
    """What the models were tried on, and what length alone would tell there."""
    material = findings.material
    tried = [
        f"{len(prompts)} {kind} pairs of {len(set(prompts))} first human turns (the longer response is chosen in "
        f"{share(findings.by_length([kind]))})"
        for kind in material.kinds
        for prompts in [material.prompts([kind])]
    ]
    left_out = "; ".join(f"{count} ({reason})" for reason, count in material.drops.items()) or "nothing"
    return f"Tried on {' and '.join(tried)}; none of them was trained on. Left out of the files: {left_out}."


def _figure(findings: Findings) -> Figure:
    study = findings.study
    curves = _agreement_curves(findings.points) if study == "agreement" else _accuracy_curves(findings)
    ends = np.array([min(min(curve.x) for curve in curves), max(max(curve.x) for curve in curves)])
    expected = [Series("chance", ends, np.full(2, 0.5))]
    if study == "size" and findings.material.kinds == ["helpful"]:
        for layers in findings.depths:
            parameters = findings.parameters(layers)
            fit = np.array([paper_accuracy(parameters, size) for size in findings.values])
            expected.append(Series(f"paper's fit, {parameters / 1e6:.0f}M (eq. A.1)", np.array(findings.values), fit))
    up = "share on which both agree" if study == "agreement" else "accuracy on held-out prompts"
    return estimates_plot(curves, expected, ACROSS[study], up, log_x=study in ("size", "pmp", "weight"))


def _accuracy_curves(findings: Findings) -> list[Curve]:
    def curve(label: str, kinds: Sequence[Kind], **also: bool | int | None) -> Curve:
        intervals = [findings.accuracy(findings.at(value, **also), kinds) for value in findings.values]
        return Curve(label, findings.values, [Estimate("", one.value, one.low, one.high) for one in intervals])

    kinds = findings.material.kinds
    if findings.study == "pmp":
        return [curve("from the base", kinds, pretrained=False), curve("pretrained", kinds, pretrained=True)]
    if len(findings.depths) > 1:
        return [curve(f"{layers or 'all'} layers", kinds, layers=layers) for layers in findings.depths]
    return [curve(f"tried on {kind}", [kind]) for kind in kinds]


def _agreement_curves(points: Sequence[Point]) -> list[Curve]:
    if len(points) >= FEWEST_SEEDS:
        quarters = list(zip(*(point["by_quarter"] for point in points), strict=True))
        apart = [float(np.mean([one["apart"] for one in quarter])) for quarter in quarters]
        means = [mean_interval([one["value"] for one in quarter], range(len(quarter))) for quarter in quarters]
        label = f"mean of {len(points)} seeds (interval over seeds)"
        return [Curve(label, apart, [Estimate("", mean.value, mean.low, mean.high) for mean in means])]
    return [
        Curve(
            f"seed {point['seed']}",
            [quarter["apart"] for quarter in point["by_quarter"]],
            [Estimate("", quarter["value"], quarter["low"], quarter["high"]) for quarter in point["by_quarter"]],
        )
        for point in points
    ]
