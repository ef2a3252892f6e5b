"""The loop of Bai et al. 2022: deploy → collect comparisons → preference model → PPO → rate, round by round.

In every round the preference models are trained anew on all comparisons so far, and the policy anew from the initial
one; what is deployed is the latest policy beside an older one. Every stage is skipped if it is done already.
"""

from functools import partial
from pathlib import Path
from typing import Any

from tutelage.loop.recipe import Recipe
from tutelage.loop.run import Run
from tutelage.loop.stages import (
    Deployed,
    Workshop,
    collect,
    evaluate,
    settings_of,
    train_policy,
    train_preference,
)
from tutelage.loop.summary import RoundPlaces, summarise


def run_loop(recipe: Recipe, directory: Path) -> dict[str, Any]:
    """Run or go on with a recipe in `directory`; returns the summary of all its numbers.

    Raises:
        InputError: the directory cannot be written or holds another run.
        CheckFailed: an invariant did not hold.
    """
    with Run.open(directory, recipe) as run:
        workshop = Workshop(recipe)
        deployed = first_deployed(recipe)
        rounds: list[RoundPlaces] = []
        for number in range(1, recipe.rounds + 1):
            places = _round(run, workshop, number, deployed, rounds)
            rounds.append(places)
            deployed = [Deployed(f"round-{number}", places.policy / "snapshot"), deployed[0]]
        policies = [Deployed(f"round-{n}", r.policy / "snapshot") for n, r in enumerate(rounds, start=1)]
        train_pm, heldout = rounds[-1].train_pm / "snapshot", rounds[-1].heldout / "snapshot"
        evaluation = run.stage(
            "evaluation", settings_of(recipe, "crowd", "evaluation"),
            {"train_pm": train_pm, "heldout": heldout, **{one.name: one.place for one in policies if one.place}},
            lambda place: evaluate(workshop, [Deployed("base"), *policies], train_pm, heldout, place),
        )  # fmt: skip
        return summarise(run, rounds, evaluation)


def first_deployed(recipe: Recipe) -> list[Deployed]:
    """Who answers in the first round: the base, and beside it the base under a guiding system text if there is one."""
    guided = recipe.collection.guided_system
    return [Deployed("base"), *([Deployed("base-guided", system=guided)] if guided else [])]


def _round(
    run: Run, workshop: Workshop, number: int, deployed: list[Deployed], before: list[RoundPlaces]
) -> RoundPlaces:
    recipe = run.recipe
    collected = run.stage(
        f"round-{number}-comparisons",
        {**settings_of(recipe, "crowd", "collection"), "deployed": [[one.name, one.system] for one in deployed]},
        {one.name: one.place for one in deployed if one.place},
        lambda place: collect(workshop, deployed, number, place),
    )
    so_far = [*(places.collected for places in before), collected]
    train_pm, heldout = (
        run.stage(
            f"round-{number}-{name}-preference-model", settings_of(recipe, "preference", "collection"),
            {f"comparisons-{index}": place for index, place in enumerate(so_far, start=1)},
            partial(train_preference, workshop, so_far, number, name == "heldout"),
        )
        for name in ("train", "heldout")
    )  # fmt: skip
    policy = run.stage(
        f"round-{number}-policy", settings_of(recipe, "ppo"),
        {"train_pm": train_pm / "snapshot", "heldout": heldout / "snapshot"},
        lambda place: train_policy(workshop, train_pm / "snapshot", heldout / "snapshot", number, place),
    )  # fmt: skip
    return RoundPlaces(collected, train_pm, heldout, policy)
