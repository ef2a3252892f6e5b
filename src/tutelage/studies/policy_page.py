"""The result page of a study of policies: what was asked, plots, the numbers, the command. Markdown with SVGs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tutelage.loop.recipe import Recipe
from tutelage.plumbing.files import write_text
from tutelage.report.charts import CHARTS, REWARD_AGAINST_KL
from tutelage.report.figures import Estimate, Panel, Series, groups_plot, interval_plot, panels_plot, to_svg
from tutelage.report.plain import MISSING, bracketed, duration, markdown_table, percent
from tutelage.statistics.intervals import mean_interval
from tutelage.studies.points import Point
from tutelage.studies.policies import PolicyStudy

Row = list[str]
TITLES: dict[PolicyStudy, str] = {
    "robustness": "How far a reward may be trusted",
    "kl": "Reward against √KL",
    "kl-weight": "What the weight of the KL penalty does",
    "methods": "PPO, RLOO, GRPO and best-of-n in equal processor time",
    "tension": "Helpful only, or helpful and harmless",
}
QUESTIONS: dict[PolicyStudy, str] = {
    "robustness": "The comparisons are split by prompt; a policy is trained against the preference model of one half "
    "(train-PM) and watched by that of the other (held-out PM), for two numbers of comparisons. From which step "
    "on does the first score rise away from the second (Bai et al. 2022, section 4.2)?",
    "kl": "Does the reward rise on a straight line with the root of the KL from the initial policy (section 4.3)?",
    "kl-weight": "Policies trained alike but for λ_KL, the price of a nat of KL.",
    "methods": "Each method gets the same processor time for sampling, scoring and learning (what all cores spend, "
    "so that other work on the machine takes nothing from it), on the same preference models. λ_KL is the same number "
    "for all, though GRPO pays it in the loss.",
    "tension": "A policy trained on helpful comparisons and prompts alone beside one trained on both kinds, each "
    "judged on both (section 4.4). Each is scored by preference models of its own kinds: gains are told in their "
    "spreads, but it is what the people choose that compares the two.",
}
CROWD = (
    "The people are the simulated crowd: *chosen* is how often its workers are expected to choose the policy's answer "
    "over the base's on the validation prompts."
)
PEOPLE = "The comparisons are people's own; nobody has judged the policies, only the two preference models."
NAMES = {"size": "comparisons a PM", "weight": "λ_KL", "method": "method", "kinds": "trained on", "seed": "seed"}
FEWEST_SEEDS = 3  # below, an interval over seeds is wider than what it is about
CURVED: tuple[PolicyStudy, ...] = ("kl", "robustness")  # studies that show lines over √KL
TIMED = ["tokens", "processor time"]
VARIED: dict[PolicyStudy, str] = {
    "robustness": "size", "kl": "seed", "kl-weight": "weight", "methods": "method", "tension": "kinds",
}  # fmt: skip


def write_policy_page(study: PolicyStudy, points: Sequence[Point], recipe: Recipe, command: str, place: Path) -> Path:
    """Write `STUDY.md` and its SVGs into a directory; returns the page's path."""
    lines = [f"# {TITLES[study]}", "", QUESTIONS[study], ""]
    for name, figure in FIGURES[study](points).items():
        write_text(place / f"{study}-{name}.svg", to_svg(figure))
        lines += [f"![{TITLES[study]}: {name}]({study}-{name}.svg)", ""]
    lines += [*_table(study, points), "", *_means(study, points)]
    lines += [_size(points, recipe), "", f"    {command}", ""]
    write_text(place / f"{study}.md", "\n".join(lines))
    return place / f"{study}.md"


def _size(points: Sequence[Point], recipe: Recipe) -> str:
    """What the reader must know of the size of it all."""
    step = f"{recipe.ppo.prompts_per_step} prompts × {recipe.ppo.samples_per_prompt} answers"
    return (
        f"Base {recipe.base}, recipe {recipe.name}; a step is {step} of at most {recipe.sampling.max_tokens} tokens. A "
        "gain is how far above the base's answers to the validation prompts a PM scores the policy's, in *spreads*: "
        "a spread (SD) is the standard deviation of that PM's scores of these answers of the base, for two PMs share "
        f"no scale. It was {_spreads(points)}. "
        f"{CROWD if _judged(points) else PEOPLE} Intervals are 95%: over prompts within a run (they say nothing of how "
        "runs differ), over seeds in the table of means. "
        f"Training took {duration(sum(point['seconds'] for point in points))} of processor time in all."
    )


def _spreads(points: Sequence[Point]) -> str:
    """From the least to the largest, of either PM."""
    named = {"train-PM": "spread", "held-out PM": "heldout_spread"}
    ranges = {name: [point["final"][key] for point in points] for name, key in named.items()}
    return ", ".join(f"{min(values):.2f} to {max(values):.2f} nats ({name})" for name, values in ranges.items())


def _table(study: PolicyStudy, points: Sequence[Point]) -> list[str]:
    """A row a run."""
    names = [name for name in NAMES if name in points[0]]
    header = [NAMES[name] for name in names]
    header += ["KL, nats", "gain, train-PM, SD", "held-out PM, SD"]
    header += ["chosen, helpful", "chosen, harmless"] if _judged(points) else []
    with_curve = study in CURVED
    header += ["line, train-PM: SD per √nat, R²", "held-out PM", "they part at step"] if with_curve else TIMED
    return markdown_table(header, [_row(point, names, with_curve) for point in points])


def _row(point: Point, names: Sequence[str], with_curve: bool) -> Row:
    final = point["final"]
    cells = [str(point[name]) for name in names] + [f"{final['kl']:.1f}"]
    cells += [bracketed(final[key], "+.2f") for key in ("gain", "heldout_gain")]
    if "wins" in final:
        cells += [_share(final["wins"].get(kind)) for kind in ("helpful", "harmless")]
    if not with_curve:
        return [*cells, f"{final['length']:.0f}", duration(point["seconds"])]
    shows = point["shows"]
    return [*cells, _line(shows["line"]), _line(shows["heldout_line"]), _parting(shows["parting"])]


def _means(study: PolicyStudy, points: Sequence[Point]) -> list[str]:
    """What is varied over the seeds, where there is more than one: means, and how far they lie from the first's."""
    if len({point["seed"] for point in points}) < 2:
        return []
    key, measures = VARIED[study], _measures(points) | _of_lines(study, points)
    runs: dict[Any, dict[int, Point]] = {}
    for point in points:
        runs.setdefault("all" if key == "seed" else point[key], {})[point["seed"]] = point
    means = {
        str(value): [_over_seeds([read(run) for run in own.values()], form) for read, form in measures.values()]
        for value, own in runs.items()
    }
    (first, its), *others = runs.items()
    differences = {
        f"{value} less {first}": [
            _over_seeds([read(own[seed]) - read(its[seed]) for seed in its], f"+{form.lstrip('+')}")
            for read, form in measures.values()
        ]
        for value, own in others
    }
    lines: list[str] = []
    for title, rows in (("Means over the seeds", means), ("Differences, seed by seed", differences)):
        if rows:
            table = markdown_table([NAMES[key], *measures], [[name, *cells] for name, cells in rows.items()])
            lines += [f"{title}:", "", *table, ""]
    return lines


def _over_seeds(values: Sequence[float], form: str) -> str:
    if len(values) < FEWEST_SEEDS:
        return f"{np.mean(values):{form}}"
    return bracketed(asdict(mean_interval(values, range(len(values)))), form)


Measure = tuple[Callable[[Point], float], str]
MEASURES: dict[str, Measure] = {
    "KL, nats": (lambda point: point["final"]["kl"], ".1f"),
    "gain, train-PM, SD": (lambda point: point["final"]["gain"]["value"], "+.2f"),
    "gain, held-out PM, SD": (lambda point: point["final"]["heldout_gain"]["value"], "+.2f"),
}
OF_LINES: dict[str, Measure] = {
    "train less held-out, SD": (lambda p: p["final"]["gain"]["value"] - p["final"]["heldout_gain"]["value"], "+.2f"),
    "slope, train-PM": (lambda point: point["shows"]["line"]["slope"], "+.2f"),
    "slope, held-out PM": (lambda point: point["shows"]["heldout_line"]["slope"], "+.2f"),
}
CHOSEN: dict[str, Measure] = {
    "chosen, helpful": (lambda point: point["final"]["wins"]["helpful"]["value"], ".1%"),
    "chosen, harmless": (lambda point: point["final"]["wins"]["harmless"]["value"], ".1%"),
    "chosen, all": (lambda point: point["final"]["wins"]["all"]["value"], ".1%"),
}


def _judged(points: Sequence[Point]) -> bool:
    """Whether the crowd has said what the policies are worth to it."""
    return all("wins" in point["final"] for point in points)


def _measures(points: Sequence[Point]) -> dict[str, Measure]:
    return MEASURES | (CHOSEN if _judged(points) else {})


def _of_lines(study: PolicyStudy, points: Sequence[Point]) -> dict[str, Measure]:
    """Of the studies that show lines, what their runs' lines have in common; nothing where a run has none."""
    lines = [point["shows"][name] for point in points for name in ("line", "heldout_line") if "shows" in point]
    return OF_LINES if study in CURVED and None not in lines else {}


def _share(record: dict[str, float] | None) -> str:
    return MISSING if record is None else bracketed(record, ".1%")


def _line(record: dict[str, float] | None) -> str:
    if record is None:
        return MISSING
    return f"{record['slope']:+.2f} [{record['low']:+.2f}, {record['high']:+.2f}], {record['r_squared']:.2f}"


def _parting(record: dict[str, float] | None) -> str:
    return "not shown" if record is None else f"{record['step']:.0f} [{record['low']:.0f}, {record['high']:.0f}]"


def _curves(points: Sequence[Point]) -> dict[str, Figure]:
    """Both scores over √KL and over the steps, a panel a run."""
    named = [{"name": _label(point), "steps": point["curve"]} for point in points]
    drawn = {name: CHARTS[name]({"rounds": named, "score_unit": "SD"}) for name in (REWARD_AGAINST_KL, "pm-scores")}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _label(point: Point) -> str:
    return ", ".join(f"{NAMES[name]} {point[name]}" for name in NAMES if name in point)


def _by_weight(points: Sequence[Point]) -> dict[str, Figure]:
    """KL, scores and choices over λ, a line a seed: their spread is what a reader must see first."""
    seeds = list(dict.fromkeys(point["seed"] for point in points))
    runs = {seed: sorted((p for p in points if p["seed"] == seed), key=lambda p: float(p["weight"])) for seed in seeds}

    def lines(read: Callable[[Point], float]) -> list[Series]:
        columns = {
            seed: np.array([(p["weight"], read(p)) for p in own], dtype=np.float64) for seed, own in runs.items()
        }
        return [Series(f"seed {seed}", column[:, 0], column[:, 1]) for seed, column in columns.items()]

    figure = panels_plot([Panel(name, "", lines(read)) for name, (read, _) in _measures(points).items()], "λ_KL")
    for axes in figure.axes if min(point["weight"] for point in points) > 0 else []:
        axes.set_xscale("log")
    return {"weights": figure}


def _by_method(points: Sequence[Point]) -> dict[str, Figure]:
    if _judged(points):
        chosen = [Estimate(_label(point), **point["final"]["wins"]["all"]) for point in points]
        half = (0.5, "no difference")
        return {"chosen": interval_plot(chosen, "chosen over the base, share", lambda e: percent(e.value), half)}
    scores = [Estimate(_label(point), **point["final"]["heldout_gain"]) for point in points]
    return {
        "scores": interval_plot(
            scores, "score above the base's by the held-out PM, spreads", lambda e: f"{e.value:+.2f}"
        )
    }


def _both_axes(points: Sequence[Point]) -> dict[str, Figure]:
    """A point a run, a colour what it was trained on."""

    def wins(trained_on: str, judged: str) -> list[Estimate]:
        runs = [point["final"]["wins"] for point in points if point["kinds"] == trained_on]
        return [Estimate("", **win[judged]) for win in runs]

    groups = {
        f"trained on {name}": (wins(name, "helpful"), wins(name, "harmless"))
        for name in dict.fromkeys(point["kinds"] for point in points)
    }
    return {"axes": groups_plot(groups, "chosen on helpful prompts, share", "chosen on red-team prompts, share")}


FIGURES: dict[PolicyStudy, Callable[[Sequence[Point]], dict[str, Figure]]] = {
    "robustness": _curves,
    "kl": _curves,
    "kl-weight": _by_weight,
    "methods": _by_method,
    "tension": _both_axes,
}
