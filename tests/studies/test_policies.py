"""Studies of policies on the untrained toy: every point is measured once, and says what its page needs."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tutelage.corpus.records import comparison_to_record
from tutelage.dialogue import Kind
from tutelage.loop.recipe import Recipe, load_recipe
from tutelage.loop.stages import Workshop
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.files import write_jsonl
from tutelage.studies.points import Point
from tutelage.studies.policies import (
    Bench,
    PolicyScale,
    PolicyStudy,
    run_policy_study,
    settings_of_method,
)
from tutelage.studies.policy_page import TITLES, write_policy_page
from tutelage.training.policy_settings import GRPOSettings, RLOOSettings

from ..training.planted import planted

SCALE = PolicyScale(seeds=1, sizes=(6, 12), weights=(0.0, 50.0), seconds=0.2, answers=1)
NAMED: dict[PolicyStudy, list[tuple[str, list[object]]]] = {
    "robustness": [("size", [6, 12]), ("seed", [0, 0])],
    "kl": [("seed", [0, 1])],
    "kl-weight": [("weight", [0.0, 50.0])],
    "methods": [("method", ["ppo", "rloo", "grpo", "best-of-n"])],
    "tension": [("kinds", ["both", "helpful", "both", "helpful"])],
}


@pytest.fixture
def recipe() -> Recipe:
    smoke = load_recipe("smoke")
    return replace(smoke, ppo=replace(smoke.ppo, steps=9, prompts_per_step=3))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for all studies: they share the comparisons, and preference models that are alike."""
    return tmp_path_factory.mktemp("studies")


@pytest.mark.parametrize("study", get_args(PolicyStudy))
def test_every_study_has_its_points_and_its_page(recipe: Recipe, place: Path, study: PolicyStudy) -> None:
    scale = replace(SCALE, seeds=2) if study in ("kl", "tension") else SCALE
    points = run_policy_study(study, recipe, scale, place)
    for name, values in NAMED[study]:
        assert [point[name] for point in points] == values
    for point in points:
        final = point["final"]
        assert set(final["wins"]) == {"all", "helpful", "harmless"}
        assert all(0 < win["low"] <= win["value"] <= win["high"] < 1 for win in final["wins"].values())
        assert np.isfinite([final["kl"], final["gain"]["value"], final["heldout_gain"]["value"]]).all()
    page = write_policy_page(study, points, recipe, f"tutelage study-policy {study}", place).read_text()
    assert page.startswith(f"# {TITLES[study]}\n")
    assert ("Means over the seeds" in page) == (study in ("kl", "tension"))
    assert ("Differences, seed by seed" in page) == (study == "tension")
    assert f"    tutelage study-policy {study}\n" in page
    for plot in [line.split("(")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]:
        assert (place / plot).read_text().rstrip().endswith("</svg>")
    assert run_policy_study(study, recipe, scale, place) == points  # times and all: nothing was measured again


def test_differences_are_told_seed_by_seed(recipe: Recipe, tmp_path: Path) -> None:
    """Seeds far apart, the differences within them near each other."""

    def point(kinds: str, seed: int, harmless: float) -> Point:
        even = {"value": 0.5, "low": 0.4, "high": 0.6}
        wins = {"all": even, "helpful": even, "harmless": {**even, "value": harmless}}
        final = {"kl": 1.0, "gain": even, "heldout_gain": even, "spread": 1.0, "heldout_spread": 1.0, "length": 9.0}
        return {"kinds": kinds, "seed": seed, "seconds": 1.0, "final": {**final, "wins": wins}}

    shares = {"both": [0.3, 0.5, 0.7], "helpful": [0.19, 0.4, 0.61]}
    points = [point(kinds, seed, share) for kinds, row in shares.items() for seed, share in enumerate(row)]
    page = write_policy_page("tension", points, recipe, "", tmp_path).read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| helpful less both ")]
    assert row.split(" | ")[5] == "-10.0% [-12.5%, -7.5%]"  # mean and t interval of -0.11, -0.10, -0.09
    assert row.split(" | ")[4] == "+0.0% [+0.0%, +0.0%]"


def test_a_policy_that_studies_share_is_trained_once(recipe: Recipe, place: Path) -> None:
    alone, both = (run_policy_study(study, recipe, SCALE, place)[0] for study in ("kl", "tension"))
    dear = run_policy_study("kl-weight", recipe, SCALE, place)[1]
    assert both["curve"] == alone["curve"]  # to the processor time
    assert dear["curve"] != alone["curve"]


def test_nothing_is_taken_over_from_other_settings(recipe: Recipe, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "helpful.jsonl", map(comparison_to_record, planted(40, 0)))
    files: dict[Kind, Path] = {"helpful": tmp_path / "helpful.jsonl"}
    scale, short = replace(SCALE, pairs=8, sizes=(8,)), replace(recipe, ppo=replace(recipe.ppo, steps=2))
    run_policy_study("kl", short, scale, tmp_path, files)
    once = {name: len(list((tmp_path / name).iterdir())) for name in ("policies", "models")}
    run_policy_study("robustness", replace(short, dtype="bfloat16"), scale, tmp_path, files)
    twice = {name: len(list((tmp_path / name).iterdir())) for name in ("policies", "models")}
    assert once == {"policies": 1, "models": 2}
    assert twice == {"policies": 2, "models": 4}


def test_comparisons_that_another_recipe_collected_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    run_policy_study("kl", replace(recipe, ppo=replace(recipe.ppo, steps=2)), SCALE, tmp_path)
    with pytest.raises(InputError, match="comparisons: collected by other settings of the recipe"):
        run_policy_study("tension", replace(recipe, seed=7), SCALE, tmp_path)


def test_a_policy_that_pays_dearly_for_distance_stays_near(recipe: Recipe, tmp_path: Path) -> None:
    def distances(points: list[Point]) -> list[float]:
        return [float(np.mean([step["kl"] for step in point["curve"][-3:]])) for point in points]

    fast = replace(recipe, ppo=replace(recipe.ppo, learning_rate=2e-2))
    free, dear = distances(run_policy_study("kl-weight", fast, SCALE, tmp_path))
    assert dear < 0.7 * free


def test_halves_share_no_prompt_and_differ_by_seed(recipe: Recipe, tmp_path: Path) -> None:
    bench = Bench(Workshop(recipe), planted(60, 0), False, tmp_path, 1, None)
    halves = [bench.halves(seed) for seed in (0, 1)]
    for half, other in halves:
        assert not {one.prompt for one in half} & {one.prompt for one in other}
    assert halves[0] != halves[1]


def test_a_preference_models_scale_changes_nothing_but_its_spread(recipe: Recipe, tmp_path: Path) -> None:
    bench = Bench(Workshop(recipe), planted(60, 0), True, tmp_path, 2, 12)
    train_pm, heldout = bench.models(0)
    short = replace(recipe.ppo, steps=4)
    before = bench.trained((train_pm, heldout), short, 0, "before")
    for of_head in (heldout.head.weight.data, heldout.head.offset):
        of_head *= 10
    after = bench.trained((train_pm, heldout), short, 0, "after")
    assert after["final"]["heldout_spread"] == pytest.approx(10 * before["final"]["heldout_spread"], rel=1e-4)
    for key in ("gain", "heldout_gain"):
        assert after["final"][key] == pytest.approx(before["final"][key], rel=1e-3, abs=1e-4)
    for key in ("reward", "heldout_reward"):
        first, second = ([step[key] for step in point["curve"]] for point in (before, after))
        assert second == pytest.approx(first, rel=1e-3, abs=1e-4)
    assert before["final"]["heldout_gain"]["value"] != 0


def test_a_gain_is_measured_in_the_deviations_of_the_bases_scores(recipe: Recipe, tmp_path: Path) -> None:
    bench = Bench(Workshop(recipe), planted(60, 0), True, tmp_path, 2, 12)
    models = bench.models(0)
    bench.trained(models, replace(recipe.ppo, steps=2), 0, "policy")
    for scores, name in zip(base := bench.base_scores(models), ("", "heldout_"), strict=True):
        measured = bench.judged(models, base)
        mean = measured[f"{name}reward"]["value"]
        assert measured[f"{name}gain"]["value"] == pytest.approx((mean - scores.mean()) / scores.std(), abs=1e-6)


def test_a_preference_model_that_tells_nothing_apart_has_no_spread(recipe: Recipe, tmp_path: Path) -> None:
    bench = Bench(Workshop(recipe), planted(60, 0), True, tmp_path, 1, 12)
    models = bench.models(0)
    models[1].head.weight.data.zero_()
    with pytest.raises(CheckFailed, match="'heldout' gives all answers of the base the same score"):
        bench.base_scores(models)


def test_the_processor_time_ends_a_training_however_long_the_clock_runs(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(Workshop(recipe), planted(60, 0), True, tmp_path, 1, 12)
    spent = iter(range(0, 1000, 10))
    monkeypatch.setattr("tutelage.studies.policies.time.process_time", lambda: next(spent))
    point = bench.trained(bench.models(0), settings_of_method("rloo", recipe), 0, "rloo", seconds=25)
    assert [step["spent"] for step in point["curve"]] == [10, 20, 30]


def test_methods_share_what_they_have_in_common(recipe: Recipe) -> None:
    rloo, grpo = (settings_of_method(method, recipe) for method in ("rloo", "grpo"))
    assert isinstance(rloo, RLOOSettings)
    assert isinstance(grpo, GRPOSettings)
    assert {rloo.learning_rate, grpo.learning_rate} == {recipe.ppo.learning_rate}
    assert grpo.kl_estimator == "k3"
    running = replace(recipe, ppo=replace(recipe.ppo, score_scale="running"))
    scales = [settings_of_method(method, running).score_scale for method in ("ppo", "rloo", "grpo")]
    assert scales == ["running", "running", "none"]  # GRPO's groups divide by their own


def test_points_of_another_recipe_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    short = replace(recipe, ppo=replace(recipe.ppo, steps=2))
    run_policy_study("kl", short, SCALE, tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        run_policy_study("kl", recipe, SCALE, tmp_path)


def test_with_peoples_comparisons_the_crowd_judges_nothing(recipe: Recipe, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "helpful.jsonl", map(comparison_to_record, planted(40, 0)))
    files: dict[Kind, Path] = {"helpful": tmp_path / "helpful.jsonl"}
    short = replace(recipe, ppo=replace(recipe.ppo, steps=2))
    scale = replace(SCALE, methods=("rloo",), pairs=8)
    for study in ("methods", "kl-weight"):
        points = run_policy_study(study, short, scale, tmp_path / "s", files)
        assert not any("wins" in point["final"] for point in points)
        page = write_policy_page(study, points, short, "command", tmp_path / "s").read_text()
        assert "people's own" in page
        assert "chosen" not in page
    assert not (tmp_path / "s" / "comparisons").exists()
    with pytest.raises(InputError, match="simulated crowd"):
        run_policy_study("tension", short, scale, tmp_path / "s", files)
