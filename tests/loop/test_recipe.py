"""Recipes hold every setting; an unknown key is an error with a cure."""

from pathlib import Path

import pytest

from tutelage.loop.recipe import load_recipe
from tutelage.plumbing.errors import InputError

MINIMAL = 'name = "mine"\nbase = "tiny-random"\n[needs]\nminutes = 1\nmemory_gib = 1.0\ndisk_gib = 1.0\n'


def written(tmp_path: Path, more: str) -> str:
    file = tmp_path / "mine.toml"
    file.write_text(MINIMAL + more)
    return str(file)


@pytest.mark.parametrize("name", ["laptop", "smoke"])
def test_shipped_recipes_load(name: str) -> None:
    assert load_recipe(name).name == name


def test_settings_reach_their_place_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    recipe = load_recipe(
        written(tmp_path, "[ppo]\nkl_weight = 1\nsteps = 7\n[sampling]\nstop = ['x']\nstop_tokens = [7]\n")
    )
    assert recipe.ppo.kl_weight == 1.0
    assert isinstance(recipe.ppo.kl_weight, float)
    assert (recipe.ppo.steps, recipe.ppo.clip) == (7, 0.2)
    assert (recipe.sampling.stop, recipe.sampling.stop_tokens) == (("x",), (7,))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[ppo]\nkl_wieght = 0.1\n", "did you mean ppo.kl_weight?"),
        ("[nonsense]\n", "unknown key nonsense"),
        ("[ppo]\nsteps = 1.5\n", "ppo.steps must be int, not 1.5"),
        ("[ppo]\nsteps = true\n", "ppo.steps must be int, not True"),
        ("[ppo]\nkl_place = 'word'\n", "ppo.kl_place must be one of 'token', 'sequence'"),
        ("ppo = 3\n", "unknown key needs.ppo"),
        ("[sampling]\ntemperature = -1\n", "temperature must be at least 0 and finite, not -1.0"),
        ("[sampling]\ntemperature = 0\n", "sampling must be without top_p, top_k and min_p, at a temperature above 0"),
        ("[sampling]\ntop_k = 5\n", "sampling must be without top_p, top_k and min_p"),
        ("[sampling]\nstop_tokens = [1.5]\n", "sampling.stop_tokens must be a list of whole numbers"),
        ("[ppo]\ncritic_strength = 0\n", "critic_strength must be above 0, not 0.0"),
        ("[ppo]\ngae_lambda = 1.5\n", "gae_lambda must lie between 0 and 1"),
        ("[preference]\nwarmup = 0\n", "warmup must be above 0, not 0"),
        ("[preference]\nlayers = 0\n", "layers must be above 0, not 0"),
        ("[crowd]\nworkers = 3\n", "workers must be at least 5, not 3"),
        ("[collection]\nheldout_share = 1\n", "heldout_share must lie between 0 and 1"),
        ("[evaluation]\nresponses = 0\n", "responses must be above 0"),
        ("[sampling]\nstop = 'END'\n", "sampling.stop must be a list of texts"),
        ("[sampling]\ntemperature = nan\n", "sampling.temperature must be a finite number"),
        ("[sampling]\ntop_p = 0.9\n", "sampling must be without top_p, top_k and min_p"),
        ("[collection]\nprompts = -5\n", "prompts must be at least 0"),
        ("[evaluation]\nprompts = 3\n", "prompts must be 0 (all) or at least 8"),
        ("[ppo\n", "line"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(InputError, match=r"mine\.toml") as error:
        load_recipe(written(tmp_path, more))
    assert said in str(error.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n')
    with pytest.raises(InputError, match="the key base is missing"):
        load_recipe(str(file))


def test_no_such_recipe() -> None:
    with pytest.raises(InputError, match="laptop, smoke"):
        load_recipe("desktop")
