"""The page of one run of reinforcement learning: one HTML file that needs no network and no script."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, read_jsonl, write_text
from tutelage.report.charts import column
from tutelage.report.page import drawn, environment, flattened
from tutelage.report.plain import bracketed, cleaned, is_number
from tutelage.report.rl_charts import CHARTS
from tutelage.statistics.overoptimisation import Line, fitted_line, gain, late_mean, parting

Record = dict[str, Any]
SHOWN_PROMPTS = 4  # of each step whose samples are kept, with an answer each


def read_run(directory: Path) -> Record:
    """What the training of a policy has left so far: steps, sample dialogues, the best-of-n curve, the card.

    Raises:
        InputError: no training of a policy writes there, or a file that is not what it should be.
    """
    return {
        "name": directory.resolve().name,
        "steps": read_steps(directory),
        "samples": read_samples(directory),
        "best_of": _records(directory / "best_of.jsonl"),
        "card": _card(directory),
    }


def read_steps(directory: Path) -> list[Record]:
    """The steps so far: the file is replaced whole after every one. A training that has begun may have none yet.

    Raises:
        InputError: no training of a policy writes there.
    """
    snapshot = directory / "snapshot.json"
    if snapshot.exists() and read_json(snapshot).get("role") == "preference":
        raise InputError(f"{directory}: a preference model, and no training of a policy")
    metrics = directory / "metrics.jsonl"
    if not metrics.exists() and not (directory / "training.json").exists():
        raise InputError(f"{metrics}: not there; name the directory that a training of a policy writes")
    return _records(metrics)


def read_samples(directory: Path) -> list[Record]:
    """The sample dialogues so far; none where the training keeps none."""
    return _records(directory / "samples.jsonl")


def _records(file: Path) -> list[Record]:
    return [line.record for line in read_jsonl(file)] if file.exists() else []


def is_finished(directory: Path) -> bool:
    """Whether the training that writes here has ended."""
    card = _card(directory)
    return card is not None and card["finished"]


def _card(directory: Path) -> Record | None:
    """What the training is and what came of it, from the file that its command leaves: `train ppo`, `train best-of-n`,
    a stage of the loop."""
    training, model, stage = (directory / f"{name}.json" for name in ("training", "model_card", "stage"))
    if training.exists():
        content = read_json(training)
        return {**content, "finished": "result" in content, "snapshot": content.get("result", {}).get("snapshot")}
    if model.exists():
        return {**read_json(model), "finished": True}
    if stage.exists():
        content = read_json(stage)
        settings = {"base": content["settings"].get("base"), "settings": content["settings"].get("ppo")}
        return {**content, **settings, "finished": True}
    return None


def findings(steps: list[Record]) -> Record:
    """What the steps show: gains from the early to the late ones, KL, the lines over √KL, where the two scores part.

    A part that the steps do not measure is None.
    """
    # Where the reference moves, the KL from it is not how far the policy has come.
    distance = "kl_initial" if any("kl_initial" in step for step in steps) else "kl"
    columns = {key: column(steps, key) for key in ("reward", "heldout_reward", distance, "sqrt_kl")}
    gains = {key: gain(columns[key]) if len(columns[key]) else np.nan for key in ("reward", "heldout_reward")}
    found = parting(columns["reward"], columns["heldout_reward"])
    lines = {key: fitted_line(columns["sqrt_kl"], columns[key]) for key in ("reward", "heldout_reward")}
    kl = late_mean(columns[distance]) if steps else np.nan
    shows: Record = cleaned({
        "steps": len(steps), "gain": gains["reward"], "heldout_gain": gains["heldout_reward"], "kl": kl,
        "line": _line(lines["reward"]), "heldout_line": _line(lines["heldout_reward"]),
        "parting": None if found is None else {
            "step": found.step.value, "low": found.step.low, "high": found.step.high, "growth": found.growth,
            "p_value": found.p_value, "sqrt_kl": float(columns["sqrt_kl"][round(found.step.value)]),
        },
    })  # fmt: skip
    return shows


def write_rl_page(run: Record, path: Path) -> None:
    """Write the page for what `read_run` has read. All text counts as hostile; equal runs give equal bytes.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, render_rl(run))


def render_rl(run: Record) -> str:
    """The page as HTML text."""
    safe = cleaned(run)
    shows = findings(run["steps"])
    rewarded = _rewarded(run, shows)
    return environment().get_template("rl.html.j2").render(
        run=safe, figures=drawn(CHARTS, safe), shows=shows, rewarded=rewarded, said=said(run, shows),
        groups=_by_step(safe["samples"]), settings=flattened((safe["card"] or {}).get("settings")),
    )  # fmt: skip


def said(run: Record, shows: Record) -> list[str]:
    """What came of the training in words, by its `findings`: first the headline."""
    if _rewarded(run, shows):
        return [headline(shows), *slopes(shows)]
    return _said_of_best(run["best_of"], run["card"] or {})


def _rewarded(run: Record, shows: Record) -> bool:
    """Whether steps were taken on rewards; best-of-n learns from favourites."""
    return is_number(shows["gain"]) or not run["best_of"]


def _said_of_best(table: list[Record], card: Record) -> list[str]:
    """What choosing the best of n was worth; what the policy that learnt from the favourites is."""
    one, best = table[0], table[-1]
    gains = [
        f"{best[key]['value'] - one[key]['value']:+.2f} nats by the {name}"
        for key, name in (("reward", "train-PM, which chooses,"), ("heldout_reward", "held-out PM"))
        if key in best
    ]
    lines = [
        f"The best of {best['k']} answers scores {' and '.join(gains)} above a single answer, at a KL of "
        f"{best['kl']:.1f} nats."
    ]
    if card.get("held_out"):
        before, after = (card["held_out"][when] for when in ("before", "after"))
        scores = [bracketed(row["reward"], "+.2f") for row in (before, after)]
        lines.append(
            f"The policy that learnt from the favourites scores {scores[1]} on {card['held_out']['prompts']} held-out "
            f"prompts, the base {scores[0]}, at a KL of {after['kl']:.1f} nats."
        )
    return lines


def headline(shows: Record) -> str:
    """What was gained at which distance, and whether it is still believed, in two sentences."""
    if not is_number(shows["gain"]):
        return "No step with a reward has been made yet."
    gained = f"In {shows['steps']} steps the score by the train-PM changed by {shows['gain']:+.2f} nats"
    at = f", at a KL of {shows['kl']:.1f} nats a response" if is_number(shows["kl"]) else ""
    if not is_number(shows["heldout_gain"]):
        return f"{gained}{at}. No other preference model watched, so that nothing says whether that is real."
    return f"{gained}, by the held-out PM by {shows['heldout_gain']:+.2f}{at}. {_trust(shows['parting'])}"


def slopes(shows: Record) -> list[str]:
    """The lines that were fitted to the rewards over √KL, each in words."""
    named = {"train-PM": shows["line"], "held-out PM": shows["heldout_line"]}
    return [
        f"{name}: {line['slope']:+.2f} [{line['low']:+.2f}, {line['high']:+.2f}] nats per √nat, "
        f"R² {line['r_squared']:.2f}"
        for name, line in named.items()
        if line is not None
    ]


def _trust(found: Record | None) -> str:
    if found is None:
        return "It is not shown that the two part."
    if found["low"] < 1:
        return (
            "The first rises faster than the second from the start: the two share no scale, so that this says little."
        )
    return (
        f"From step {found['step']:.0f} on (95% interval {found['low']:.0f} to {found['high']:.0f}) the first rises "
        "faster than the second: not all that is gained there is seen by another judge."
    )


def _by_step(samples: list[Record]) -> list[tuple[Any, list[Record]]]:
    """The samples by step, the last first, of each the first answer to a few prompts."""
    steps = sorted({sample["step"] for sample in samples if is_number(sample.get("step"))}, reverse=True)
    return [(step, _first_of_each_prompt(s for s in samples if s.get("step") == step)) for step in steps]


def _first_of_each_prompt(samples: Iterable[Record]) -> list[Record]:
    first: dict[str, Record] = {}
    for sample in samples:
        first.setdefault(str(sample.get("prompt")), sample)
    return list(first.values())[:SHOWN_PROMPTS]


def _line(line: Line | None) -> Record | None:
    if line is None:
        return None
    return {"slope": line.slope.value, "low": line.slope.low, "high": line.slope.high, "r_squared": line.r_squared}
