"""`tutelage doctor` says what is here and what a recipe lacks."""

import json
from pathlib import Path

import pytest

from tutelage.cli.doctor import Doctor, lacks, read_needs
from tutelage.cli.main import main

MACHINE = {"memory_gib": 4.0, "disk_free_gib": 10.0}


def test_what_a_machine_lacks_is_said() -> None:
    assert lacks({"minutes": 15, "memory_gib": 5, "disk_gib": 3}, MACHINE) == ["memory: 4.0 of 5 GiB"]
    assert lacks({"minutes": 1, "memory_gib": 4, "disk_gib": 11}, MACHINE) == ["disk: 10.0 of 11 GiB"]
    assert lacks({"minutes": None, "memory_gib": None, "disk_gib": None}, MACHINE) == []


def test_every_shipped_recipe_states_its_needs() -> None:
    needs = dict(read_needs())
    assert {"laptop", "smoke"} <= set(needs)
    for name, need in needs.items():
        assert all(value is not None and value > 0 for value in need.values()), name


def test_json_holds_the_machine_and_the_recipes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--json", "--directory", str(tmp_path / "not" / "made" / "yet")]) == 0
    result = json.loads(capsys.readouterr().out)
    machine = result["machine"]
    for key in ("cores", "threads", "memory_gib", "disk_free_gib", "fp32_tflops", "bf16_tflops"):
        assert machine[key] > 0, key
    assert [recipe["recipe"] for recipe in result["recipes"]] == [name for name, _ in read_needs()]
    Doctor().show(result)
    assert "bf16 (TFLOP/s)" in capsys.readouterr().out
