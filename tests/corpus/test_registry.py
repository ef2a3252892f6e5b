"""Sources by name: each complete, found by its name or its hub id, and read from the data directory."""

import gzip
from pathlib import Path

import pytest

from tutelage.corpus.hub import HubFile
from tutelage.corpus.locate import DATA_VARIABLE, DataFile, data_directory, locate
from tutelage.corpus.registry import SOURCES, DataSource, find
from tutelage.corpus.rules import DropCounts
from tutelage.plumbing.errors import InputError

ROW = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: so", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: no"}\n'
OWN = DataFile(Path(), "auto", "helpful")
LOCAL = [source for source in SOURCES if source.hub is None]


def test_names_are_different_and_every_source_says_its_licence() -> None:
    assert len({source.name for source in SOURCES}) == len({source.file for source in SOURCES}) == len(SOURCES)
    assert all(source.licence and source.about for source in SOURCES)
    assert all((source.format == "table") == (source.columns is not None) for source in SOURCES)


def test_a_hub_id_stands_for_its_training_sources() -> None:
    hh = find("Anthropic/hh-rlhf")
    assert [(source.name, source.kind) for source in hh] == [
        ("hh-rlhf/helpful-base", "helpful"),
        ("hh-rlhf/helpful-rejection-sampled", "helpful"),
        ("hh-rlhf/helpful-online", "helpful"),
        ("hh-rlhf/harmless-base", "harmless"),
    ]
    assert hh[0].hub == HubFile("Anthropic/hh-rlhf", "helpful-base/train.jsonl.gz")
    assert [source.name for source in find("hh-rlhf/harmless-base/test")] == ["hh-rlhf/harmless-base/test"]
    assert [source.name for source in find("stanfordnlp/SHP")] == ["shp"]
    assert find("no/such") == []


def test_a_source_is_read_from_the_data_directory_in_its_own_way(tmp_path: Path) -> None:
    place = tmp_path / "hh-rlhf" / "harmless-base" / "test.jsonl.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(gzip.compress(ROW.encode()))
    (file,) = locate(Path("hh-rlhf/harmless-base/test"), tmp_path, OWN)
    assert (file.path, file.format, file.kind) == (place, "hh", "harmless")
    assert file.licence == "MIT"
    (row,) = file.rows()
    assert getattr(row, "kind", None) == "harmless"


def test_a_file_that_is_there_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("llmbar").write_text(ROW)
    (file,) = locate(Path("llmbar"), None, DataFile(Path(), "hh", "harmless"))
    assert file == DataFile(Path("llmbar"), "hh", "harmless")
    assert file.licence is None


def test_a_directory_of_a_sources_name_is_not_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "llmbar" / "llmbar.jsonl.gz"
    place.parent.mkdir()
    place.write_bytes(gzip.compress(ROW.encode()))
    (file,) = locate(Path("llmbar"), tmp_path, OWN)
    assert file.path == place


def test_the_data_directory_is_the_given_one_or_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, "/there")
    assert data_directory(None) == Path("/there")
    assert data_directory(Path("/here")) == Path("/here")
    monkeypatch.delenv(DATA_VARIABLE)
    assert data_directory(None) is None


@pytest.mark.parametrize(
    ("name", "directory", "message"),
    [
        ("absent.jsonl", None, r"absent\.jsonl: no such file, nor a source of this name; `tutelage data list`"),
        ("llmbar", None, r"llmbar: no data directory is named \(--data DIR or \$TUTELAGE_DATA\)"),
        (
            "llmbar",
            Path("/nowhere"),
            r"llmbar: /nowhere/llmbar/llmbar\.jsonl\.gz is not there; it is read from llmbar/",
        ),
    ],
)
def test_what_is_not_there_is_named(name: str, directory: Path | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        locate(Path(name), directory, OWN)


@pytest.mark.parametrize("source", LOCAL, ids=[source.name for source in LOCAL])
def test_the_local_sources_are_there_and_mostly_usable(data: Path, source: DataSource) -> None:
    (file,) = locate(Path(source.name), data, OWN)
    counts = DropCounts()
    assert all(comparison.kind == source.kind for comparison in counts.sift(file.rows()))
    assert counts.usable >= 190
