"""`tutelage study`: a page from one command."""

import json
from pathlib import Path

import pytest

from tutelage.cli.main import main
from tutelage.cli.study import StudyCommand
from tutelage.plumbing.errors import InputError

from .conftest import write_planted


def test_a_study_leaves_its_page_and_goes_on_from_its_points(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    harmless = write_planted(tmp_path / "harmless.jsonl", topic="prime", kind="harmless")
    command = [
        "study", "weight", "--helpful", str(planted), "--harmless", str(harmless), "--out", str(tmp_path / "s"),
        "--model", "tiny-random", "--pairs", "10", "--dtype", "float32", "--json",
    ]  # fmt: skip
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert [point["weight"] for point in first["points"]] == [1, 2, 3, 4, 10]
    assert Path(first["page"]).read_text().startswith("# What a harmless comparison counts")
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == first  # seconds and all: nothing was measured again
    assert main([*command, "--layers", "1"]) == 2
    assert "points of other data or settings" in capsys.readouterr().err


def test_what_cannot_be_is_refused(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        StudyCommand("size", planted, planted, tmp_path, model="tiny-random", seeds=0).run()
    with pytest.raises(InputError, match="layers must be above 0"):
        StudyCommand("size", planted, planted, tmp_path, model="tiny-random", layers=0).run()
