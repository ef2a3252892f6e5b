"""The whole loop on the recipe `smoke`: it finishes, skips what is done, survives kill -9, and refuses what it must."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.loop.loop import run_loop
from tutelage.loop.recipe import load_recipe
from tutelage.plumbing.errors import InputError

STAGES = [
    f"round-{number}-{stage}"
    for number in (1, 2)
    for stage in ("comparisons", "train-preference-model", "heldout-preference-model", "policy")
] + ["evaluation"]

# What may differ between two runs of the same recipe and seed: time, memory and the name.
CLOCKS = {"wall_seconds", "peak_memory_bytes", "finished", "seconds", "rollout_seconds", "name", "stages"}


def numbers(content: Any) -> Any:
    """The summary without clocks."""
    if isinstance(content, dict):
        return {key: numbers(value) for key, value in content.items() if key not in CLOCKS}
    return [numbers(value) for value in content] if isinstance(content, list) else content


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    place = tmp_path_factory.mktemp("runs") / "smoke"
    return place, run_loop(load_recipe("smoke"), place)


def test_every_stage_leaves_its_result_and_what_it_was_made_from(finished: tuple[Path, dict[str, Any]]) -> None:
    place, summary = finished
    for name in STAGES:
        record = json.loads((place / name / "stage.json").read_text())
        assert {"settings", "seed", "inputs", "versions", "wall_seconds", "peak_memory_bytes"} <= set(record)
    assert [stage["name"] for stage in summary["stages"]] == STAGES


def test_the_summary_keeps_the_contract(finished: tuple[Path, dict[str, Any]]) -> None:
    summary = json.loads(json.dumps(finished[1]))  # it is plain JSON
    assert summary["wall_seconds"] > 0
    assert summary["peak_memory_bytes"] > 0
    assert all({"snapshot", "elo", "low", "high"} <= set(row) for row in summary["ratings"])
    assert summary["ratings"]
    assert {"value", "low", "high", "comparisons"} == set(summary["win_rate_final_vs_base"])
    assert {"value", "low", "high", "ceiling"} <= set(summary["pm_accuracy"])
    for entry in summary["rounds"]:
        assert {"kl", "reward_gain", "heldout_pm_gain"} <= set(entry)
        assert entry["steps"][0]["mismatch_p99"] < 1e-4  # fp32: sampler and trainer agree


def test_the_held_out_half_is_the_same_in_every_round_and_never_trains_the_judge(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    sides: dict[str, set[str]] = {"train": set(), "heldout": set()}
    for number in (1, 2):
        for side in sides:
            result = json.loads((finished[0] / f"round-{number}-{side}-preference-model" / "result.json").read_text())
            # A model is tried on the prompts of the other half.
            sides[side] |= {pair["prompt"] for pair in result["tried"]}
    assert sides["train"]
    assert sides["heldout"]
    assert not sides["train"] & sides["heldout"]


def test_a_finished_run_is_kept_as_it_is(finished: tuple[Path, dict[str, Any]]) -> None:
    place, summary = finished
    before = {file: file.stat().st_mtime_ns for file in place.rglob("*") if file.is_file()}
    assert run_loop(load_recipe("smoke"), place) == summary
    assert {file: file.stat().st_mtime_ns for file in place.rglob("*") if file.is_file()} == before


def test_a_changed_input_is_noticed(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    import shutil

    place = tmp_path / "smoke"
    shutil.copytree(finished[0], place)
    judgments = place / "round-2-comparisons" / "judgments.jsonl"
    judgments.write_text("".join(judgments.read_text().splitlines(keepends=True)[:-1]))
    kept = (place / "round-1-policy" / "stage.json").read_text()
    run_loop(load_recipe("smoke"), place)
    assert (place / "round-1-policy" / "stage.json").read_text() == kept
    first, second = (p / "round-2-policy" / "stage.json" for p in (finished[0], place))
    assert json.loads(first.read_text())["inputs"] != json.loads(second.read_text())["inputs"]


def test_another_recipe_or_seed_is_refused(finished: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="seed 0, with other settings"):
        run_loop(replace(load_recipe("smoke"), seed=7), finished[0])


def test_a_directory_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="not empty and no run"):
        run_loop(load_recipe("smoke"), tmp_path)


def test_kill_and_run_again_gives_the_same_numbers(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """kill -9 in the middle of every stage, one after the other; the last rerun ends on the uninterrupted numbers."""
    command = [sys.executable, "-c", LOOP, str(tmp_path / "smoke")]
    for name in STAGES:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list((tmp_path / "smoke").glob(f".{name}.*.part")):
            time.sleep(0.005)
        assert process.poll() is None, f"{name} was never seen in the making"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "smoke" / name).exists()
    assert numbers(run_loop(load_recipe("smoke"), tmp_path / "smoke")) == numbers(finished[1])
    assert not list((tmp_path / "smoke").glob(".*.part"))


def test_two_processes_cannot_work_on_one_run(tmp_path: Path) -> None:
    from tutelage.loop.run import Run

    with (
        Run.open(tmp_path / "smoke", load_recipe("smoke")),
        pytest.raises(InputError, match="another process"),
        Run.open(tmp_path / "smoke", load_recipe("smoke")),
    ):
        pass


LOOP = """
import sys
from pathlib import Path
from tutelage.loop.loop import run_loop
from tutelage.loop.recipe import load_recipe
run_loop(load_recipe("smoke"), Path(sys.argv[1]))
"""
