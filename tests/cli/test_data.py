"""`tutelage data`: results that serialise, and a page that a person can read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.data import DataConvert, DataList, DataOverlap, DataStats
from tutelage.plumbing.errors import InputError

CLEAN = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: so so", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: no"}'
DIRTY = CLEAN.replace("so so", "")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{CLEAN}\n{CLEAN}\n{DIRTY}\n")
    return path


def shown(
    command: DataList | DataStats | DataConvert | DataOverlap,
    result: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> str:
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
    counts = {"rows_in": 3, "rows_out": 3, "kept_dirty": {"empty_answer": 1}, "refused": {}}
    assert result == counts | {"file": str(source), "source": None, "licence": None}
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["record"] for record in records] == ["comparison", "comparison", "dropped"]
    assert records[0]["kind"] == "harmless"
    assert "3 rows read, 3 written" in shown(command, result, capsys)
    leaving = DataConvert(tmp_path / "out.jsonl", tmp_path / "trl.jsonl", to_format="trl").run()
    assert leaving["refused"] == {"empty_answer": 1}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with one of the known sources in it."""
    place = tmp_path / "data" / "llmbar" / "llmbar.jsonl.gz"
    place.parent.mkdir(parents=True)
    row = {"input": "so?", "output_1": "so", "output_2": "no no no", "label": 1}
    place.write_bytes(gzip.compress(json.dumps(row).encode()))
    return tmp_path / "data"


def test_list(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = DataList(directory)
    result = json.loads(json.dumps(command.run()))
    sources = {source["name"]: source for source in result["sources"]}
    assert sources["llmbar"]["present"]
    assert sources["llmbar"]["file"] == str(directory / "llmbar" / "llmbar.jsonl.gz")
    assert not sources["shp"]["present"]
    assert sources["shp"]["hub"] == "stanfordnlp/SHP"
    text = shown(command, result, capsys)
    assert "CC-BY-SA" in text
    assert "fetched from stanfordnlp/SHP" in text
    assert "data directory:" in text


def test_a_source_by_name(directory: Path, tmp_path: Path) -> None:
    result = DataStats((Path("llmbar"),), data=directory).run()
    assert result["usable"] == 1
    (file,) = result["files"]
    assert (file["source"], file["licence"]) == ("llmbar", "MIT")
    converted = DataConvert(Path("llmbar"), tmp_path / "out.jsonl", to_format="hh", data=directory).run()
    assert (converted["rows_out"], converted["licence"]) == (1, "MIT")


def test_a_table_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(json.dumps({"q": "so?", "best": "so", "other": "no"}) + "\n")
    columns = ("prompt=q", "chosen=best", "rejected=other")
    assert DataStats((path,), columns=columns).run()["usable"] == 1
    assert DataConvert(path, tmp_path / "out.jsonl", to_format="trl", columns=columns).run()["rows_out"] == 1


def test_several_sources_are_not_converted_into_one_file(tmp_path: Path) -> None:
    for subset in ("helpful-base", "helpful-rejection-sampled", "helpful-online", "harmless-base"):
        (tmp_path / "hh-rlhf" / subset).mkdir(parents=True)
        (tmp_path / "hh-rlhf" / subset / "train.jsonl.gz").write_bytes(gzip.compress(CLEAN.encode()))
    with pytest.raises(InputError, match="Anthropic/hh-rlhf: stands for 4 sources; name one"):
        DataConvert(Path("Anthropic/hh-rlhf"), tmp_path / "out.jsonl", to_format="trl", data=tmp_path).run()
    assert DataStats((Path("Anthropic/hh-rlhf"),), data=tmp_path).run()["usable"] == 4


def test_overlap(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(CLEAN.replace("hi", "HI!") + "\n")
    command = DataOverlap((source,), test=(other,))
    result = json.loads(json.dumps(command.run()))
    assert result == {"prompts": 1, "train": 2, "test": 1, "examples": ["HI!"]}
    assert "1 first human turns in common" in shown(command, result, capsys)


def test_nothing_named_is_refused() -> None:
    with pytest.raises(InputError, match="no file named"):
        DataStats(()).run()
