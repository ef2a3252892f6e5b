"""The whole loop on the recipe `smoke`: it finishes, skips what is done, survives kill -9, and refuses what it must."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutelage.corpus.records import judgment_to_record
from tutelage.loop.loop import run_loop
from tutelage.loop.recipe import load_recipe
from tutelage.loop.stages import Workshop, freeze, read_judgments, read_result, train_preference
from tutelage.modeling.snapshot import read_card
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_jsonl, write_jsonl
from tutelage.report.page import render

STAGES = [
    f"round-{number}-{stage}"
    for number in (1, 2)
    for stage in ("comparisons", "train-preference-model", "heldout-preference-model", "policy")
] + ["evaluation"]

# What may differ between two runs of the same recipe and seed: time, memory and the name.
CLOCKS = {
    "wall_seconds",
    "peak_memory_bytes",
    "finished",
    "seconds",
    "sampling_seconds",
    "rollout_seconds",
    "name",
    "stages",
}


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
    samples = [line.record for line in read_jsonl(place / "round-1-policy" / "samples.jsonl")]
    assert [sample["step"] for sample in samples] == [0] * 8  # two answers to four prompts


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
        assert entry["ended"] == "steps"
        assert entry["steps"][0]["mismatch_p99"] < 1e-4  # fp32: sampler and trainer agree


def test_the_held_out_half_is_the_same_in_every_round_and_leaves_one_to_try_each_model_on(
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


def test_the_held_out_half_never_trains_the_train_pm(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """With every label of that half turned round, the train-PM is the same to the bit, and the held-out PM is not."""
    recipe = load_recipe("smoke")
    judgments = read_judgments(finished[0] / "round-1-comparisons")
    theirs = {comparison.prompt for comparison in freeze(judgments, recipe.collection.heldout_share)[1]}
    turned = [replace(j, side="b" if j.side == "a" else "a") if j.prompt in theirs else j for j in judgments]
    write_jsonl(tmp_path / "judgments.jsonl", map(judgment_to_record, turned))
    workshop = Workshop(recipe)
    same = {}
    for side in ("train", "heldout"):
        train_preference(workshop, [tmp_path], 1, side == "heldout", tmp_path / side)
        before = read_card(finished[0] / f"round-1-{side}-preference-model" / "snapshot")
        same[side] = read_card(tmp_path / side / "snapshot").weights_hash == before.weights_hash
    assert same == {"train": True, "heldout": False}


def test_the_headline_is_what_the_held_out_workers_said(finished: tuple[Path, dict[str, Any]]) -> None:
    place, summary = finished
    wins = []
    for judgment in read_judgments(place / "evaluation"):
        picked, other = (judgment.a, judgment.b) if judgment.side == "a" else (judgment.b, judgment.a)
        better, worse = (other, picked) if judgment.question == "more_harmful" else (picked, other)
        if {better.snapshot, worse.snapshot} == {"base", "round-2"} and better.text != worse.text:
            wins.append(better.snapshot == "round-2")
    rate = summary["win_rate_final_vs_base"]
    assert (rate["comparisons"], rate["value"]) == (len(wins), pytest.approx(np.mean(wins)))
    for entry in summary["rounds"]:
        steps = entry["steps"]
        assert entry["kl"] == steps[-1]["kl"]
        assert entry["reward_gain"] == pytest.approx(
            steps[-1]["reward"] - (steps[0]["reward"] + steps[1]["reward"]) / 2
        )


def test_the_report_of_a_real_run_lacks_nothing(finished: tuple[Path, dict[str, Any]]) -> None:
    assert "not measured" not in render(finished[1])


def test_beyond_the_kl_limit_the_loop_goes_on_with_the_last_policy_within_and_says_so(tmp_path: Path) -> None:
    smoke = load_recipe("smoke")
    wild = replace(smoke.ppo, steps=30, learning_rate=0.1, kl_weight=0.0, kl_limit=0.2)
    summary = run_loop(replace(smoke, rounds=1, ppo=wild), tmp_path / "wild")
    (entry,) = summary["rounds"]
    assert entry["ended"] == "kl_limit"
    assert 1 < len(entry["steps"]) < 30
    assert max(step["kl"] for step in entry["steps"]) <= 0.2
    assert "round-1" in {row["snapshot"] for row in summary["snapshot_scores"]}  # the evaluation has had its answers
    assert f"Round 1: after {len(entry['steps'])} steps the policy was further" in render(summary)


def test_a_finished_run_is_kept_as_it_is(finished: tuple[Path, dict[str, Any]]) -> None:
    place, summary = finished
    before = {file: file.stat().st_mtime_ns for file in place.rglob("*") if file.is_file()}
    assert run_loop(load_recipe("smoke"), place) == summary
    assert {file: file.stat().st_mtime_ns for file in place.rglob("*") if file.is_file()} == before


def test_a_stage_of_an_older_version_that_left_no_result_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"result.json: not there.*remove {tmp_path} and run again"):
        read_result(tmp_path)


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


@pytest.mark.parametrize("share", [0.3, *(pytest.param(share, marks=pytest.mark.hard) for share in (0.05, 0.5))])
def test_kill_and_run_again_gives_the_same_numbers(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, share: float
) -> None:
    """kill -9 in the middle of every stage, one after the other; the last rerun ends on the uninterrupted numbers."""
    command = [sys.executable, "-c", LOOP, str(tmp_path / "smoke")]
    for name in STAGES:
        wait = share * json.loads((finished[0] / name / "stage.json").read_text())["wall_seconds"]
        while not _killed_in(tmp_path / "smoke", name, command, wait):
            wait /= 2  # it was quicker than at first
            shutil.rmtree(tmp_path / "smoke" / name)
    assert numbers(run_loop(load_recipe("smoke"), tmp_path / "smoke")) == numbers(finished[1])
    assert not list((tmp_path / "smoke").glob(".*.part"))


def _killed_in(run: Path, stage: str, command: list[str], wait: float) -> bool:
    """Kill the run so many seconds after a stage has begun; whether it was not yet done."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(run.glob(f".{stage}.*.part")):
        time.sleep(0.001)
    assert process.poll() is None, f"{stage} was never seen in the making"
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return not (run / stage).exists()


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
