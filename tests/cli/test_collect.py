"""`tutelage collect`: what is refused before anything is made, and what the base is called."""

import time
from pathlib import Path

import huggingface_hub.constants
import pytest

from tutelage.cli.collect import Collect
from tutelage.cli.main import main
from tutelage.modeling import hub
from tutelage.modeling.hub import EMBEDDED, require_there
from tutelage.plumbing.errors import InputError


@pytest.mark.parametrize("model", ["nope", "nobody/nope", "./no/such/directory", "with spaces"])
def test_a_base_that_is_not_there_is_refused_at_once_and_nothing_is_made(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    begun = time.perf_counter()
    assert main(["collect", "--model", model]) == 2
    assert time.perf_counter() - begun < 10
    said = capsys.readouterr().err
    assert f"base model '{model}': not found or not permitted" in said
    assert EMBEDDED in said
    assert list(tmp_path.iterdir()) == []


def test_a_hub_id_is_one_that_was_fetched_before_or_that_the_hub_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url, timeout: asked.append(url))
    require_there("org/model")
    assert len(asked) == 1
    assert "org/model" in asked[0]
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda name, file: str(tmp_path / file))
    require_there("org/fetched")
    (tmp_path / "config.json").touch()
    require_there(str(tmp_path))
    require_there(EMBEDDED)
    assert len(asked) == 1
    monkeypatch.undo()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="not found"):
        require_there("org/model")


def test_a_base_has_the_name_that_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    names = {"one/model": "one/model", "two/model": "two/model", EMBEDDED: EMBEDDED, ".": "mine", "../mine": "mine"}
    for model, name in names.items():
        assert Collect(model=model)._snapshots() == {name: None}
