"""`tutelage data`: results that serialise, and a page that a person can read."""

import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.data import DataConvert, DataStats

CLEAN = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: so so", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: no"}'
DIRTY = CLEAN.replace("so so", "")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{CLEAN}\n{CLEAN}\n{DIRTY}\n")
    return path


def shown(command: DataStats | DataConvert, result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    command.show(result)
    return " ".join(capsys.readouterr().out.split())


def test_stats(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = DataStats((source,))
    result = json.loads(json.dumps(command.run()))
    assert (result["rows"], result["usable"], result["dropped"]) == (3, 2, {"empty_answer": 1})
    assert result["turns"] == {"2": 2}
    assert result["length_bias"]["longer_won"]["value"] == 1.0
    text = shown(command, command.run(), capsys)
    assert "3 rows, 2 usable" in text
    assert "The last assistant turn is empty." in text
    assert "the longer answer won 100.0% of 2 comparisons" in text
    assert "1 rows repeat an earlier one; 1 different prompts" in text


def test_stats_of_nothing_usable_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(DIRTY)
    assert "1 rows, 0 usable" in shown(DataStats((path,)), DataStats((path,)).run(), capsys)


def test_convert(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = DataConvert(source, tmp_path / "out.jsonl", to_format="tutelage", kind="harmless")
    result = json.loads(json.dumps(command.run()))
    assert result == {"rows_in": 3, "rows_out": 3, "kept_dirty": {"empty_answer": 1}, "refused": {}}
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["record"] for record in records] == ["comparison", "comparison", "dropped"]
    assert records[0]["kind"] == "harmless"
    assert "3 rows read, 3 written" in shown(command, result, capsys)
    leaving = DataConvert(tmp_path / "out.jsonl", tmp_path / "trl.jsonl", to_format="trl").run()
    assert leaving["refused"] == {"empty_answer": 1}
