"""Studies of policies on the planted crowd, after Bai et al. 2022, sections 4.2 to 4.5: how far the reward may be
trusted, what distance buys, what λ_KL does, which method gets furthest in equal time, and what helpfulness costs.

A study takes its settings from a recipe of the loop, and its comparisons from that recipe's first round, collected
once. A point trains its preference models and one policy (kept, and shared by all that need the same), and asks
which answers to the validation prompts the crowd would choose, the policy's or the base's.

Two preference models share neither zero nor scale. So scores are told in *spreads*: one is the standard deviation of
the scores that the model gives the base's answers to the validation prompts.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tutelage.corpus.prompts import PromptItem, load_prompts
from tutelage.corpus.records import comparison_to_record
from tutelage.corpus.rules import DropCounts
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.splits import split_by_prompt
from tutelage.dialogue import Comparison, Kind, Response
from tutelage.evaluation.expected import expected_wins
from tutelage.evaluation.tournament import duels
from tutelage.loop.loop import first_deployed
from tutelage.loop.recipe import Recipe
from tutelage.loop.stages import Workshop, collect, read_judgments
from tutelage.modeling.snapshot import save_snapshot
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.files import read_json, replacing, sha256, write_json
from tutelage.plumbing.progress import progress_bar
from tutelage.report.rl_page import findings
from tutelage.sampling.sampler import Sample, sample
from tutelage.statistics.intervals import Floats, mean_interval
from tutelage.studies.points import Point, Wanted, measure_points
from tutelage.training.best_of_n import Choice, choose, describe_choices, learn_from_best, scores_of
from tutelage.training.demonstrations import DemonstrationSettings
from tutelage.training.learner import SEEDS
from tutelage.training.mixture import mix
from tutelage.training.pairs import drop_weakest
from tutelage.training.policy_settings import GRPOSettings, PolicySettings, RLOOSettings
from tutelage.training.ppo import train_on_reward
from tutelage.training.preference import train_preference_model
from tutelage.training.prompt_order import step_plans
from tutelage.training.rollouts import PreferenceModel

PolicyStudy = Literal["robustness", "kl", "kl-weight", "methods", "tension"]
Method = Literal["ppo", "rloo", "grpo", "best-of-n"]
METHODS: tuple[Method, ...] = get_args(Method)
SALT = "policy studies"  # the same always: with the seed it decides on a prompt's half
POLICY = "policy"
COLLECTED_BY = "recipe.json"
ENDLESS = 1_000_000  # steps of a training that the clock ends
BEST_OF = 16
DRAWING = 0.7  # share of a time budget in which best-of-n draws; in the rest it learns
CURVE = (
    "step", "reward", "heldout_reward", "kl", "sqrt_kl", "kl_weight", "entropy", "length", "truncated", "seconds",
)  # fmt: skip

SCORES = ("reward", "heldout_reward")  # of a step, by train-PM and held-out PM

Models = tuple[PreferenceModel, PreferenceModel]


@dataclass(frozen=True)
class PolicyScale:
    """How large a study is."""

    seeds: int = 3
    """runs of every point, each with preference models of other halves of the comparisons"""
    sizes: tuple[int, ...] = (100, 400)
    """comparisons a preference model of the study `robustness` is trained on"""
    weights: tuple[float, ...] = (0.001, 0.02, 0.05, 0.2)
    """λ_KL of the study `kl-weight`"""
    methods: tuple[Method, ...] = METHODS
    """of the study `methods`"""
    seconds: float = 240.0
    """processor time that each method may take, sampling, scoring and learning together: the time of all cores, which
    other work on the machine does not use up"""
    answers: int = 4
    """answers to each validation prompt by which a policy is judged"""
    pairs: int | None = None
    """comparisons a preference model is trained on where they are not what is varied; None: all of its half"""


@dataclass(frozen=True)
class Bench:
    """What every point of a study is made with."""

    workshop: Workshop
    comparisons: Sequence[Comparison]
    by_crowd: bool
    """whether the comparisons are the simulated crowd's, so that it can say what a policy is worth to it"""
    place: Path
    answers: int
    pairs: int | None

    def halves(self, seed: int, kind: Kind | None = None) -> tuple[list[Comparison], list[Comparison]]:
        """The comparisons (of one kind) for train-PM and held-out PM, without a common first human turn."""
        wanted = [one for one in self.comparisons if kind in (None, one.kind)]
        return split_by_prompt(wanted, 0.5, f"{SALT} {seed}")

    def models(self, seed: int, size: int | None = None, kind: Kind | None = None) -> Models:
        """Train-PM and held-out PM of the two halves, `size` (None: `pairs`) comparisons each."""
        train, heldout = self.samples(seed, size, kind)
        return self._model("train_pm", train, seed), self._model("heldout", heldout, seed)

    def samples(self, seed: int, size: int | None, kind: Kind | None) -> list[list[Comparison]]:
        """What train-PM and held-out PM are trained on."""
        return [mix(half, size or self.pairs, None, seed) for half in self.halves(seed, kind)]

    def once(self, made_of: Sequence[Any], measure: Callable[[], Point]) -> Point:
        """The point of a policy that studies share, from the disk if one of them has measured it.

        `made_of`: all that it depends on besides the base and the recipe without its PPO settings.
        """
        origin = [self.workshop.trunk.weights_hash, _without(self.workshop.recipe, "ppo"), self.answers]
        place = self.place / "policies" / f"{_name([*origin, *made_of])}.json"
        if not place.exists():
            write_json(place, measure())
        point: Point = read_json(place)
        return point

    def _model(self, adapter: str, comparisons: Sequence[Comparison], seed: int) -> PreferenceModel:
        """A preference model from the disk, where it is put first if no point has needed it yet."""
        recipe, trunk = self.workshop.recipe, self.workshop.trunk
        settings, reads = recipe.preference, [recipe.dtype, asdict(recipe.format)]
        made_of = [asdict(settings), *reads, trunk.weights_hash, seed, _records(comparisons)]
        place = self.place / "models" / _name(made_of)
        if not place.exists():
            with progress_bar(f"{len(comparisons)} pairs, seed {seed}", len(comparisons), "pairs") as bar:
                trained = train_preference_model(
                    trunk, adapter, comparisons, settings, seed, lambda pairs, _: bar.advance(pairs)
                )
            lineage = {"seed": seed, "pairs": trained.pairs, "dtype": self.workshop.recipe.dtype}
            save_snapshot(place, trunk, adapter, settings.rank, trained.head, lineage)
        return self.workshop.preference_model(place, adapter)

    @cached_property
    def items(self) -> tuple[PromptItem, ...]:
        return load_prompts("validation")

    @cached_property
    def asked(self) -> list[tuple[int, ...]]:
        return [self.workshop.trunk.encoder.prompt_ids(item.prompt) for item in self.items]

    @cached_property
    def base_samples(self) -> list[list[Sample]]:
        """The base's answers to the validation prompts, the same for all points."""
        trunk, parameters = self.workshop.trunk, self.workshop.recipe.sampling
        with trunk.using(None):
            return sample(trunk, self.asked, self.answers, parameters, seed=1)

    def base_scores(self, models: Models) -> list[Floats]:
        """What either model gives the base's answers to the validation prompts, (prompts, answers), nats.

        Raises:
            CheckFailed: it gives all of them the same.
        """
        scores = [np.stack(scores_of(self.workshop.trunk, model, self.asked, self.base_samples)) for model in models]
        for model, given in zip(models, scores, strict=True):
            if given.std() == 0:
                raise CheckFailed(
                    f"the preference model {model.adapter!r} gives all answers of the base the same score; "
                    "give it more comparisons"
                )
        return scores

    def judged(self, models: Models, base_scores: Sequence[Floats]) -> Point:
        """What the policy is worth on the validation prompts: scores, distance, the crowd's choices if it judges."""
        trunk, parameters = self.workshop.trunk, self.workshop.recipe.sampling
        choices = choose(trunk, POLICY, self.asked, self.answers, parameters, 1, *models)
        measured = {**describe_choices(trunk, choices, parameters.temperature), **_gains(choices, base_scores)}
        if not self.by_crowd:
            return measured
        ours, base = (
            [[Response(draw.text, draw.finish) for draw in row] for row in samples]
            for samples in ([choice.samples for choice in choices], self.base_samples)
        )
        wins = expected_wins(self.items, ours, base, self.workshop.heldout_crowd)
        return {**measured, "wins": {kind: asdict(interval) for kind, interval in wins.items()}}

    def trained(
        self,
        models: Models,
        settings: PolicySettings,
        seed: int,
        title: str,
        red_team_share: float | None = None,
        seconds: float | None = None,
    ) -> Point:
        """Train one policy and judge it. With `seconds`, so much processor time ends it, after the step that it
        is in. The curve's scores are in spreads."""
        share = self.workshop.recipe.ppo.red_team_share if red_team_share is None else red_team_share
        started, curve = time.process_time(), list[dict[str, Any]]()
        total, unit = (settings.steps, "steps") if seconds is None else (round(seconds), "s")
        with progress_bar(title, total, unit) as bar:

            def on_step(metrics: Sequence[Mapping[str, Any]], _: Any) -> None:
                spent, before = time.process_time() - started, curve[-1]["spent"] if curve else 0.0
                curve.append({**{key: metrics[-1][key] for key in CURVE if key in metrics[-1]}, "spent": spent})
                bar.advance(1 if seconds is None else round(spent) - round(before))
                bar.note(f"reward {metrics[-1]['reward']:+.2f}  KL {metrics[-1]['kl']:.1f}")
                if seconds is not None and spent > seconds:
                    raise _TimeIsUp

            with suppress(_TimeIsUp):
                train_on_reward(
                    self.workshop.trunk, POLICY, self.workshop.prompt_sources(share), *models,
                    self.workshop.recipe.sampling, settings, seed, on_step,
                )  # fmt: skip
        took, base_scores = time.process_time() - started, self.base_scores(models)
        for key, scores in zip(SCORES, base_scores, strict=True):
            for step in curve:
                step[key] /= float(scores.std())
        return {
            "curve": curve, "shows": findings(curve), "final": self.judged(models, base_scores), "seconds": took,
        }  # fmt: skip

    def learnt_from_best(self, models: Models, seed: int, seconds: float) -> Point:
        """Best-of-n in so many seconds of processor time: favourites until most of them are over, then the lesson."""
        trunk, parameters, started = self.workshop.trunk, self.workshop.recipe.sampling, time.process_time()
        ppo = replace(self.workshop.recipe.ppo, prompts_per_step=4, minibatches=1)
        plans = step_plans(self.workshop.prompt_sources(ppo.red_team_share), ppo, seed)
        choices: list[Choice] = []
        while not choices or time.process_time() - started < DRAWING * seconds:
            choices += choose(
                trunk, None, next(plans).prompts, BEST_OF, parameters, SEEDS * seed + len(choices), *models
            )
        settings = DemonstrationSettings(rank=self.workshop.recipe.ppo.rank)
        learn_from_best(trunk, POLICY, choices, settings, parameters.temperature, seed)
        took = time.process_time() - started
        final = self.judged(models, self.base_scores(models))
        return {"curve": [], "favourites": len(choices), "final": final, "seconds": took}


def _gains(choices: Sequence[Choice], base_scores: Sequence[Floats]) -> Point:
    """How far above the base's answers either model scores the policy's, in spreads, with intervals over prompts; and
    the spreads, nats."""
    after = [[c.scores for c in choices], [c.heldout_scores for c in choices if c.heldout_scores is not None]]
    gains: Point = {}
    for name, ours, base in zip(("", "heldout_"), after, base_scores, strict=True):
        spread = float(base.std())
        differences = (np.mean(ours, axis=1) - np.mean(base, axis=1)) / spread
        gains |= {f"{name}gain": asdict(mean_interval(differences, range(len(ours)))), f"{name}spread": spread}
    return gains


def _without(recipe: Recipe, *parts: str) -> dict[str, Any]:
    """The recipe's settings but for these parts and for what it is called and takes."""
    return {key: value for key, value in asdict(recipe).items() if key not in (*parts, "name", "needs")}


def _records(comparisons: Sequence[Comparison]) -> list[Any]:
    return [comparison_to_record(one) for one in comparisons]


def _name(made_of: Any) -> str:
    """A name for what is made of this."""
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


class _TimeIsUp(Exception):
    """Ends a training at a step's end."""


def run_policy_study(
    study: PolicyStudy, recipe: Recipe, scale: PolicyScale, place: Path, files: Mapping[Kind, Path] | None = None
) -> list[Point]:
    """The points of a study; those that `place` holds are not measured again.

    `files`: comparisons by people, by kind, in place of those that the crowd makes of the recipe's first round. The
    crowd then judges nothing.

    Raises:
        InputError: `place` holds points of other settings, a file cannot be read, there are too few comparisons, or the
            study is one that only the crowd can judge.
    """
    if files and study == "tension":
        raise InputError("tension is judged by the simulated crowd, which files of people's choices leave out")
    # Settings may be chosen by a study: its prompts and its judges are those of validation.
    workshop = Workshop(replace(recipe, evaluation=replace(recipe.evaluation, split="validation")))
    comparisons, hashes = _read(files) if files else _collected(workshop, place / "comparisons")
    kept, _ = drop_weakest(comparisons, recipe.preference.min_strength)
    if not kept:
        raise InputError(f"of {len(comparisons)} comparisons none is left to train on; give or collect more")
    origin = {
        "study": study, "recipe": asdict(recipe), "comparisons": hashes, "answers": scale.answers, "pairs": scale.pairs,
        **({"seconds": scale.seconds} if study == "methods" else {}),
    }  # fmt: skip
    bench = Bench(workshop, kept, not files, place, scale.answers, scale.pairs)
    wanted = {
        "robustness": _robustness, "kl": _kl, "kl-weight": _weights, "methods": _methods, "tension": _tension,
    }  # fmt: skip
    return measure_points(place / f"{study}.jsonl", origin, wanted[study](bench, scale))


def _collected(workshop: Workshop, place: Path) -> tuple[list[Comparison], dict[str, str]]:
    """The comparisons of the recipe's first round, collected once, with the hash of the judgments.

    Raises:
        InputError: those that are there were collected by other settings.
    """
    settings = _without(workshop.recipe, "ppo", "preference", "evaluation")
    if not place.exists():
        with replacing(place) as beside:
            beside.mkdir(parents=True)
            collect(workshop, first_deployed(workshop.recipe), 1, beside)
            write_json(beside / COLLECTED_BY, settings)
    if read_json(place / COLLECTED_BY) != json.loads(json.dumps(settings)):
        raise InputError(f"{place}: collected by other settings of the recipe; name another --out, or remove it")
    return duels(read_judgments(place)), {"judgments": sha256(place / "judgments.jsonl")}


def _read(files: Mapping[Kind, Path]) -> tuple[list[Comparison], dict[str, str]]:
    """The usable comparisons of the files, with the files' hashes."""
    rows = (row for kind, path in files.items() for row in read_comparisons([path], kind=kind))
    return list(DropCounts().sift(rows)), {str(kind): sha256(path) for kind, path in files.items()}


def _robustness(bench: Bench, scale: PolicyScale) -> Wanted:
    """Train-PM and test-PM of two halves: where they part, by the number of comparisons behind them (section 4.2)."""
    for seed in range(scale.seeds):
        for size in scale.sizes:
            title = f"PMs of {size} pairs, seed {seed}"
            yield {"size": size, "seed": seed}, _policy(bench, title, seed, size=size)


def _kl(bench: Bench, scale: PolicyScale) -> Wanted:
    """Reward against √KL (section 4.3)."""
    for seed in range(scale.seeds):
        yield {"seed": seed}, _policy(bench, f"seed {seed}", seed)


def _weights(bench: Bench, scale: PolicyScale) -> Wanted:
    """What λ_KL does; the paper has 0.001 and calls it perhaps unnecessary."""
    for seed in range(scale.seeds):
        for weight in scale.weights:
            yield (
                {"weight": weight, "seed": seed},
                _policy(bench, f"λ = {weight:g}, seed {seed}", seed, kl_weight=weight),
            )


def _methods(bench: Bench, scale: PolicyScale) -> Wanted:
    """PPO, RLOO, GRPO and best-of-n, each in the same processor time."""
    for seed in range(scale.seeds):
        for method in scale.methods:
            yield {"method": method, "seed": seed}, lambda method=method, seed=seed: _timed(bench, scale, method, seed)  # type: ignore[misc]


def _tension(bench: Bench, scale: PolicyScale) -> Wanted:
    """Helpful comparisons and prompts alone, or those of both kinds, judged on both (section 4.4)."""
    for seed in range(scale.seeds):
        yield {"kinds": "both", "seed": seed}, _policy(bench, f"both kinds, seed {seed}", seed)
        yield {"kinds": "helpful", "seed": seed}, _policy(bench, f"helpful only, seed {seed}", seed, kind="helpful")


def _policy(
    bench: Bench, title: str, seed: int, size: int | None = None, kind: Kind | None = None, **changes: Any
) -> Callable[[], Point]:
    """A point of one PPO run with the recipe's settings but for the changes; of one kind alone, its prompts too."""

    def measure() -> Point:
        settings = replace(bench.workshop.recipe.ppo, **changes)
        share = {"helpful": 0.0, "harmless": 1.0, None: None}[kind]
        samples = [_records(sample) for sample in bench.samples(seed, size, kind)]
        return bench.once(
            [asdict(settings), share, seed, samples],
            lambda: bench.trained(bench.models(seed, size, kind), settings, seed, title, share),
        )

    return measure


def _timed(bench: Bench, scale: PolicyScale, method: Method, seed: int) -> Point:
    models = bench.models(seed)
    if method == "best-of-n":
        return bench.learnt_from_best(models, seed, scale.seconds)
    settings = settings_of_method(method, bench.workshop.recipe)
    return bench.trained(models, settings, seed, f"{method}, seed {seed}", seconds=scale.seconds)


def settings_of_method(method: Method, recipe: Recipe) -> PolicySettings:
    """The recipe's PPO settings, or what RLOO or GRPO has in common with them, without a last step."""
    if method == "ppo":
        return replace(recipe.ppo, steps=ENDLESS)
    kind: type[PolicySettings] = RLOOSettings if method == "rloo" else GRPOSettings
    common = {field.name: getattr(recipe.ppo, field.name) for field in fields(PolicySettings)}
    if method == "grpo":
        del common["kl_estimator"]  # in the loss it is another
        if recipe.ppo.score_clip is None:
            del common["score_scale"]  # the group's spread takes it out again
    return kind(**{**common, "steps": ENDLESS})
