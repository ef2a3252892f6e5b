"""`tutelage runs` lists, shows and removes runs, and nothing that is not one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.main import main
from tutelage.cli.runs import RunsClean, RunsList, RunsShow
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import write_json, write_text

SUMMARY = {
    "wall_seconds": 12.5,
    "win_rate_final_vs_base": {"value": 0.7, "low": 0.6, "high": 0.8, "comparisons": 400},
    "ratings": [{"snapshot": "base", "elo": 0.0, "low": 0.0, "high": 0.0}],
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs, one of them unfinished, beside a folder that is none."""
    directory = tmp_path / "runs"
    for name, stages in (("a", ["collect", "pm"]), ("b", ["collect"])):
        write_json(directory / name / "run.json", {"name": name, "recipe": "smoke", "seed": 3})
        for when, stage in enumerate(stages):
            record = {"name": stage, "wall_seconds": 1.5, "peak_memory_bytes": 1 << 20, "finished": True}
            write_json(directory / name / stage / "stage.json", record)
            os.utime(directory / name / stage / "stage.json", (when, when))
            write_text(directory / name / stage / "weights", "x" * 5000)
    write_json(directory / "a" / "summary.json", SUMMARY)
    write_text(directory / "a" / "report.html", "<p>report</p>")
    write_json(directory / "b" / "ppo" / "stage.json", {"name": "ppo", "finished": False})
    write_text(directory / "dear" / "letter.txt", "dear")
    return directory


def cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


def test_list_gives_state_size_and_age(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = cli(capsys, "runs", "list", "--directory", str(runs))["runs"]
    assert [(run["name"], run["recipe"], run["seed"]) for run in found] == [("a", "smoke", 3), ("b", "smoke", 3)]
    assert [run["state"] for run in found] == ["finished", "unfinished, collect is done"]
    assert found[0]["size_bytes"] == sum(file.stat().st_size for file in (runs / "a").rglob("*") if file.is_file())
    assert 0 <= found[0]["age_seconds"] < 600
    RunsList(runs).show(RunsList(runs).run())
    assert "unfinished" in capsys.readouterr().out


def test_list_of_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(capsys, "runs", "list", "--directory", str(tmp_path / "absent"))["runs"] == []


def test_show_gives_stages_and_summary(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = cli(capsys, "runs", "show", "a", "--directory", str(runs))
    assert [(stage["name"], stage["wall_seconds"]) for stage in result["stages"]] == [("collect", 1.5), ("pm", 1.5)]
    assert result["summary"] == SUMMARY
    assert result["report"] == str(runs / "a" / "report.html")
    RunsShow("a", runs).show(result)
    assert "final against base: 70.0% wins [60.0%, 80.0%]" in capsys.readouterr().out


def test_show_of_an_unfinished_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = RunsShow("b", runs).run()
    assert (result["summary"], result["report"]) == (None, None)
    RunsShow("b", runs).show(result)
    assert "unfinished, collect is done" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["dear", "absent", "..", "../runs/a", "a/collect", ".", "", "/"])
def test_what_is_no_run_is_refused_and_nothing_is_removed(runs: Path, name: str) -> None:
    before = sorted(runs.rglob("*"))
    with pytest.raises(InputError, match="is not a run"):
        RunsClean(("a", name), yes=True, directory=runs).run()
    assert sorted(runs.rglob("*")) == before


def test_a_link_is_no_run(runs: Path) -> None:
    (runs / "link").symlink_to(runs / "a")
    with pytest.raises(InputError, match="is not a run"):
        RunsClean(("link",), yes=True, directory=runs).run()
    assert (runs / "a" / "pm").is_dir()


def test_clean_removes_the_named_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = sum(file.stat().st_size for file in (runs / "a").rglob("*") if file.is_file())
    result = cli(capsys, "runs", "clean", "a", "--yes", "--directory", str(runs))
    assert result == {"removed": ["a"], "freed_bytes": size}
    assert sorted(place.name for place in runs.iterdir()) == ["b", "dear"]


def test_clean_can_keep_the_report(runs: Path) -> None:
    RunsClean(("a", "b"), keep_report=True, yes=True, directory=runs).run()
    assert sorted(place.name for place in (runs / "a").iterdir()) == ["report.html", "run.json", "summary.json"]
    assert RunsShow("a", runs).run()["state"] == "finished"


def test_clean_follows_no_link(runs: Path) -> None:
    (runs / "a" / "link").symlink_to(runs / "dear")
    RunsClean(("a",), yes=True, directory=runs).run()
    assert (runs / "dear" / "letter.txt").exists()
    assert not (runs / "a").exists()


def test_clean_does_not_act_unasked(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"say --yes: there is no terminal"):
        RunsClean(("a",), directory=runs).run()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "\n", raising=False)
    with pytest.raises(InputError, match="nothing was removed"):
        RunsClean(("a",), directory=runs).run()
    assert (runs / "a" / "pm").is_dir()
    monkeypatch.setattr("sys.stdin.readline", lambda: "y\n", raising=False)
    RunsClean(("a",), directory=runs).run()
    assert not (runs / "a").exists()
    assert "remove a (0.0 MiB)? [y/N]" in capsys.readouterr().err


def test_clean_without_names_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "clean", "--yes", "--directory", str(runs)]) == 2
    assert "name the runs to remove" in capsys.readouterr().err


def test_a_damaged_run_is_named(runs: Path) -> None:
    (runs / "a" / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"a/run\.json: expected a JSON object, found list"):
        RunsList(runs).run()
