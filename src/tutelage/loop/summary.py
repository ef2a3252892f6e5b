"""`summary.json`: every number of the report, made from what the stages left. No model is loaded here."""

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tutelage.corpus.records import prompt_from_record
from tutelage.dialogue import Comparison
from tutelage.evaluation.expected import KIND
from tutelage.evaluation.tournament import duel_win_rate, duels, ratings_table
from tutelage.feedback.crowd import make_crowd
from tutelage.feedback.utility import Answer, feature_report
from tutelage.loop.run import Run, versions
from tutelage.loop.stages import freeze, read_judgments, read_responses, read_result
from tutelage.modeling.snapshot import read_card
from tutelage.plumbing.files import read_json, read_jsonl
from tutelage.plumbing.machine import usable_cores
from tutelage.statistics.calibration import accuracy, brier, ece, reliability
from tutelage.statistics.intervals import mean_interval
from tutelage.statistics.overoptimisation import gain, late_mean

Summary = dict[str, Any]


@dataclass(frozen=True)
class RoundPlaces:
    """The directories of a round's stages."""

    collected: Path
    train_pm: Path
    heldout: Path
    policy: Path

    @property
    def stages(self) -> tuple[Path, ...]:
        return (self.collected, self.train_pm, self.heldout, self.policy)


def summarise(run: Run, rounds: Sequence[RoundPlaces], evaluation: Path) -> Summary:
    """All numbers of a finished run."""
    stages = [read_json(p / "stage.json") for p in (*(p for r in rounds for p in r.stages), evaluation)]
    fought = duels(read_judgments(evaluation))
    final = f"round-{len(rounds)}"
    ratings, refusal = ratings_table(fought, anchor="base")
    train_pm = read_result(rounds[-1].train_pm)
    return {
        "name": run.directory.name, "recipe": run.recipe.name, "seed": run.recipe.seed,
        "finished": stages[-1]["finished"],
        "wall_seconds": sum(stage["wall_seconds"] for stage in stages),
        "peak_memory_bytes": max(stage["peak_memory_bytes"] for stage in stages),
        "versions": versions(), "machine": f"{usable_cores()} cores, {platform.processor() or platform.machine()}",
        "stages": [{key: stage[key] for key in ("name", "wall_seconds", "peak_memory_bytes")} for stage in stages],
        "ratings": ratings, "rating_refusal": refusal,
        "win_rate_final_vs_base": duel_win_rate(fought, final, "base"),
        "win_rate_final_vs_base_by_kind": {
            label: duel_win_rate(fought, final, "base", kind) for label, kind in KIND.items()
        },
        "win_rates": _win_rates(fought, ["base", *(f"round-{n}" for n in range(1, len(rounds) + 1))]),
        "pm_accuracy": {**_accuracy(train_pm), "ceiling": train_pm["ceiling"], "pairs": len(train_pm["tried"])},
        "calibration": _calibration(train_pm),
        "rounds": [_round(number, places) for number, places in enumerate(rounds, start=1)],
        **_responses(evaluation, final),
        "samples": read_json(evaluation / "medians.json"),
        "lineage": _lineage(rounds),
        "crowd": _crowd(run, rounds),
        "settings": asdict(run.recipe),
    }  # fmt: skip


def _win_rates(fought: Sequence[Comparison], names: Sequence[str]) -> list[Summary]:
    rates = [(b, a, duel_win_rate(fought, b, a)) for a, b in combinations(names, 2)]
    return [{"a": a, "b": b, **rate} for a, b, rate in rates if rate]


def _accuracy(result: Summary) -> Summary:
    """Accuracy on the half that the model was not trained on, over prompts and workers."""
    tried = result["tried"]
    columns = [[pair[key] for pair in tried] for key in ("difference", "prompt", "worker")]
    return asdict(accuracy(*columns))


def _calibration(result: Summary) -> Summary:
    differences, *clusterings = ([pair[key] for pair in result["tried"]] for key in ("difference", "prompt", "worker"))
    bins = [
        {"confidence": b.confidence, "accuracy": b.accuracy.value, "low": b.accuracy.low, "high": b.accuracy.high,
         "pairs": b.pairs}
        for b in reliability(differences, *clusterings)
    ]  # fmt: skip
    return {"bins": bins, "ece": ece(differences), "brier": brier(differences)}


def _round(number: int, places: RoundPlaces) -> Summary:
    steps = [line.record for line in read_jsonl(places.policy / "metrics.jsonl")]
    train_pm, heldout = read_result(places.train_pm), read_result(places.heldout)
    return {
        "round": number, "comparisons": train_pm["pairs"] + heldout["pairs"],
        "dropped": dict(Counter(train_pm["dropped"]) + Counter(heldout["dropped"]) + Counter(equal=train_pm["equal"])),
        "kl": late_mean(_column(steps, "kl")), "reward_gain": gain(_column(steps, "reward")),
        "heldout_pm_gain": gain(_column(steps, "heldout_reward")),
        "pm_accuracy": _accuracy(train_pm), "heldout_pm_accuracy": _accuracy(heldout), "steps": steps,
        "ended": read_result(places.policy)["ended"],
    }  # fmt: skip


def _column(steps: Sequence[Summary], key: str) -> list[float]:
    return [step[key] for step in steps]


def _responses(evaluation: Path, final: str) -> Summary:
    """What both preference models and the planted utility make of the evaluation's responses."""
    records = read_responses(evaluation)
    answers: dict[str, list[Answer]] = {}
    scores: dict[str, dict[str, list[tuple[float, str]]]] = {}
    for record, response in records:
        prompt = prompt_from_record(record["prompt"], "evaluation")
        kind = KIND[record["kind"]]
        answers.setdefault(record["snapshot"], []).append(Answer(kind, prompt, response))
        row = scores.setdefault(record["snapshot"], {"helpful": [], "harmless": []})
        row[kind].append((record["heldout"], record["prompt_id"]))
    gains = feature_report(answers["base"], answers[final])
    return {
        "snapshot_scores": [
            {"snapshot": name, **{kind: _mean(row) for kind, row in rows.items() if row}}
            for name, rows in scores.items()
        ],
        "gain_features": {
            kind: [
                {"feature": g.feature, "base": g.base, "final": g.final, "contribution": g.gain, "share": g.share}
                for g in gains if g.kind == kind
            ]
            for kind in ("helpful", "harmless")
        },
    }  # fmt: skip


def _mean(scored: Sequence[tuple[float, str]]) -> Summary:
    """Mean of (score, prompt) with its interval over prompts."""
    scores, prompts = zip(*scored, strict=True)
    return asdict(mean_interval(scores, prompts))


def _lineage(rounds: Sequence[RoundPlaces]) -> list[Summary]:
    first = read_card(rounds[0].train_pm / "snapshot")
    rows: list[Summary] = [
        {"snapshot": "base", "name": first.base, "made_by": "given", "parents": [], "hash": first.base_hash, "data": []}
    ]
    for number, places in enumerate(rounds, start=1):
        data = [f"comparisons of round {n}" for n in range(1, number + 1)]
        models = [(f"train-PM {number}", places.train_pm), (f"held-out PM {number}", places.heldout)]
        rows += [_ancestor(name, place, "preference model", ["base"], data) for name, place in models]
        parents = ["base", *(name for name, _ in models)]
        rows.append(_ancestor(f"round-{number}", places.policy, "PPO", parents, ["PPO prompts"]))
    return rows


def _ancestor(name: str, place: Path, made_by: str, parents: list[str], data: list[str]) -> Summary:
    card = read_card(place / "snapshot")
    return {
        "snapshot": name,
        "name": card.name,
        "made_by": made_by,
        "parents": parents,
        "hash": card.weights_hash,
        "data": data,
    }


def _crowd(run: Run, rounds: Sequence[RoundPlaces]) -> Summary:
    settings, weakest = run.recipe.crowd, run.recipe.preference.min_strength
    crowd = make_crowd(settings.workers, 2 * run.recipe.seed)
    judgments = read_judgments(*(places.collected for places in rounds))
    train, heldout, _ = freeze(judgments, run.recipe.collection.heldout_share)
    shares = sorted(Counter(judgment.worker for judgment in judgments).values(), reverse=True)
    return {
        "workers": settings.workers, "heldout_workers": settings.heldout_workers, "judgments": len(judgments),
        "agreement": crowd.agreement(train + heldout),
        "top_fifth_share": sum(shares[: round(settings.workers / 5)]) / len(judgments),
        "ceiling": crowd.ceiling(train + heldout, weakest),
    }  # fmt: skip
