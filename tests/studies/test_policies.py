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
from tutelage.plumbing.errors import InputError
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
    assert ("Means over the seeds" in page) == (study == "tension")
    assert f"    tutelage study-policy {study}\n" in page
    for plot in [line.split("(")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]:
        assert (place / plot).read_text().rstrip().endswith("</svg>")
    assert run_policy_study(study, recipe, scale, place) == points  # times and all: nothing was measured again


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


def test_methods_share_what_they_have_in_common(recipe: Recipe) -> None:
    rloo, grpo = (settings_of_method(method, recipe) for method in ("rloo", "grpo"))
    assert isinstance(rloo, RLOOSettings)
    assert isinstance(grpo, GRPOSettings)
    assert {rloo.learning_rate, grpo.learning_rate} == {recipe.ppo.learning_rate}
    assert grpo.kl_estimator == "k3"


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
