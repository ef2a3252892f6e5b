"""The hub's clients, played by stand-ins: what is fetched, where it goes, and what is said when it cannot be."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tutelage.corpus.hub import HubFile, HubTable, fetch
from tutelage.plumbing.errors import InputError

FILE = HubFile("some/set", "part/train.jsonl.gz")
TABLE = HubTable("some/table", "train")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(name: str, **functions: Any) -> None:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**functions))  # type: ignore[arg-type]

    return put


def test_a_file_stays_in_the_clients_cache(stand_in: Callable[..., None]) -> None:
    def download(id: str, file: str, repo_type: str) -> str:
        return f"/cache/{id}/{repo_type}/{file}"

    stand_in("huggingface_hub", hf_hub_download=download)
    assert fetch(FILE, None) == Path("/cache/some/set/dataset/part/train.jsonl.gz")


def test_a_table_is_written_to_its_place(stand_in: Callable[..., None], tmp_path: Path) -> None:
    rows = [{"q": "why?", "n": 1}, {"q": "wo?", "n": 2}]
    stand_in("datasets", load_dataset=lambda id, split: rows if (id, split) == ("some/table", "train") else [])
    place = fetch(TABLE, tmp_path / "table" / "train.jsonl")
    assert [json.loads(line) for line in place.read_text().splitlines()] == rows
    with pytest.raises(InputError, match="some/table: name a data directory"):
        fetch(TABLE, None)


@pytest.mark.parametrize(("origin", "client"), [(FILE, "huggingface_hub"), (TABLE, "datasets")])
def test_an_absent_client_is_named(
    origin: HubFile | HubTable, client: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(InputError, match=f"{origin.id}: fetching it needs the package {client}; pip install {client}"):
        fetch(origin, tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    "error", [ConnectionError("offline"), FileNotFoundError("no such set"), ValueError("bad split")]
)
def test_a_hub_that_gives_nothing_is_an_input_error(
    error: Exception, stand_in: Callable[..., None], tmp_path: Path
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    stand_in("huggingface_hub", hf_hub_download=fail)
    stand_in("datasets", load_dataset=fail)
    for origin in (FILE, TABLE):
        with pytest.raises(InputError, match=rf"{origin.id}: the hub did not give it \(.*{error}\); check the network"):
            fetch(origin, tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []
