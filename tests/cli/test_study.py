"""`tutelage study`: a page from one command."""

import json
import math
from pathlib import Path

import pytest

from tutelage.cli.main import main
from tutelage.cli.study import StudyCommand
from tutelage.plumbing.errors import InputError

from .conftest import write_planted


@pytest.fixture
def harmless(tmp_path: Path) -> Path:
    return write_planted(tmp_path / "harmless.jsonl", topic="prime", kind="harmless")


def test_a_study_leaves_its_page_and_goes_on_from_its_points(
    planted: Path, harmless: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
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
    for other in (["--layers", "1"], ["--pairs", "12"]):
        assert main([*command, *other]) == 2
        assert "points of other data or settings" in capsys.readouterr().err


def test_pretraining_is_compared_with_none(
    planted: Path, harmless: Path, preference_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "study", "pmp", "--helpful", str(planted), "--harmless", str(harmless), "--out", str(tmp_path / "s"),
        "--init", str(preference_model), "--sizes", "6", "12", "--model", "tiny-random", "--dtype", "float32", "--json",
    ]  # fmt: skip
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert [(point["size"], point["pretrained"]) for point in result["points"]] == [
        (6, False), (6, True), (12, False), (12, True),
    ]  # fmt: skip
    assert "gain on harmless" in Path(result["page"]).read_text()


def test_what_cannot_be_is_refused(planted: Path, tmp_path: Path) -> None:
    def study(**options: object) -> StudyCommand:
        return StudyCommand("size", planted, out=tmp_path, model="tiny-random", **options)  # type: ignore[arg-type]

    for options, said in (
        ({"seeds": 0}, "at least 1"),
        ({"shares": (0.5, 1.5)}, "between 0 and 1"),
        ({"layers": (1, 0)}, "layers must be above 0"),
        ({"probe": (1.0, math.nan)}, "--probe must be above 0"),
        ({"probe": (0.0,)}, "--probe must be above 0"),
        ({"probe": (1.0,), "learning_rate": 1e-3}, "of no use to probes"),
        ({"init": tmp_path / "none"}, "none"),
        ({"sizes": (500, 600)}, "--sizes: the least is 500, but there are 64 comparisons"),
        ({"harmless": tmp_path / "no-such-source"}, "no-such-source"),
    ):
        with pytest.raises(InputError, match=said):
            study(**options).run()
    with pytest.raises(InputError, match="size alone takes several depths"):
        StudyCommand("weight", planted, out=tmp_path, model="tiny-random", layers=(1, 2)).run()


def test_probes_of_several_depths_from_one_command(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    command = [
        "study", "size", "--helpful", str(planted), "--out", str(tmp_path / "s"), "--model", "tiny-random", "--sizes",
        "6", "12", "--probe", "0.1", "1", "--layers", "1", "2", "--seeds", "4", "--dtype", "float32", "--json",
    ]  # fmt: skip
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert {(point["layers"], point["size"]) for point in first["points"]} == {(1, 6), (1, 12), (2, 6), (2, 12)}
    page = Path(first["page"]).read_text()
    assert "the first 1 or 2 layers" in page
    assert "frozen, with linear probes" in page
    assert main([*command[:-1], "--seeds", "5", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert [point for point in second["points"] if point["seed"] < 4] == first["points"]
