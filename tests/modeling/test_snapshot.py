"""Snapshots: exact there and back, refused where they do not belong, whole or absent."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tutelage.modeling import snapshot
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.passes import score_branches
from tutelage.modeling.snapshot import load_snapshot, read_card, save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, sha256, write_json

from .toys import add_random_adapter, random_groups, random_head

GROUPS = random_groups(0, 3)
LINEAGE = {"base": "tiny-random", "comparisons": 12}


@pytest.fixture
def place(tiny: Trunk, tmp_path: Path) -> Path:
    """A preference model on disk."""
    add_random_adapter(tiny, "pm")
    save_snapshot(tmp_path / "pm", tiny, "pm", 4, random_head(tiny, "mean", layers=1), LINEAGE)
    return tmp_path / "pm"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_preference_model_comes_back_exactly(tiny: Trunk, tmp_path: Path, dtype: torch.dtype) -> None:
    tiny.model.to(dtype)
    add_random_adapter(tiny, "pm")
    head = random_head(tiny, "mean", layers=1)
    card = save_snapshot(tmp_path / "pm", tiny, "pm", 4, head, LINEAGE)
    add_random_adapter(tiny, "again", seed=9, rank=2)
    loaded = load_snapshot(tmp_path / "pm", tiny, "again")
    assert loaded is not None
    assert (loaded.pooling, loaded.layers) == ("mean", 1)
    assert score_branches(tiny, "again", loaded, GROUPS) == score_branches(tiny, "pm", head, GROUPS)
    for one, other in zip(tiny.adapter_tensors("pm").values(), tiny.adapter_tensors("again").values(), strict=True):
        assert torch.equal(one, other)
    assert read_card(tmp_path / "pm") == card


def test_a_policy_has_no_head(tiny: Trunk, tmp_path: Path) -> None:
    add_random_adapter(tiny, "policy")
    card = save_snapshot(tmp_path / "policy", tiny, "policy", 4, None, {})
    assert card.role == "policy"
    assert load_snapshot(tmp_path / "policy", tiny, "again") is None


def test_the_card_names_what_it_was_made_from(tiny: Trunk, place: Path) -> None:
    card = read_card(place)
    assert (card.role, card.base, card.base_hash) == ("preference", "tiny-random", tiny.weights_hash)
    assert (card.format, card.fingerprint) == (tiny.encoder.format, tiny.encoder.fingerprint)
    assert card.lineage == LINEAGE
    assert card.name == sha256(place / "weights.safetensors")[:12]


def test_the_name_follows_from_the_weights_alone(tiny: Trunk, place: Path, tmp_path: Path) -> None:
    same = save_snapshot(tmp_path / "same", tiny, "pm", 4, random_head(tiny, "mean", layers=1), {"other": 1})
    assert same.name == read_card(place).name
    other = save_snapshot(tmp_path / "other", tiny, "pm", 4, random_head(tiny, "mean", seed=1, layers=1), LINEAGE)
    assert other.name != same.name


def test_it_is_refused_on_another_base(tiny: Trunk, place: Path) -> None:
    tiny.weights_hash = "another"
    with pytest.raises(InputError, match=r"made on base 'tiny-random' \(seed-0\), not on 'tiny-random' as given"):
        load_snapshot(place, tiny, "x")
    assert not tiny.adapter_parameters("x")


@pytest.mark.parametrize("other", [DialogueFormat(template="hh"), DialogueFormat(system="Be kind.")])
def test_it_is_refused_with_another_format(tiny: Trunk, place: Path, other: DialogueFormat) -> None:
    tiny.encoder = Encoder(tiny.encoder.tokenizer, other)
    with pytest.raises(InputError, match=r"made with another tokenizer or dialogue format .* train it anew"):
        load_snapshot(place, tiny, "x")


def test_it_is_refused_with_another_tokenizer(tiny: Trunk, place: Path) -> None:
    tokenizer: Any = tiny.encoder.tokenizer
    tokenizer.add_tokens(["<|more|>"])
    tiny.encoder = Encoder(tokenizer, tiny.encoder.format)
    with pytest.raises(InputError, match="another tokenizer"):
        load_snapshot(place, tiny, "x")


@pytest.mark.parametrize("damage", ["flip", "cut", "absent"])
def test_damaged_weights_are_refused(tiny: Trunk, place: Path, damage: str) -> None:
    file = place / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if damage == "absent":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flip" else content[:-8])
    with pytest.raises(InputError, match=r"weights\.safetensors: missing or damaged"):
        load_snapshot(place, tiny, "x")
    assert not tiny.adapter_parameters("x")


@pytest.mark.parametrize("change", [{"surprise": 1}, {"format": {"template": "chat", "mood": "good"}}, {"format": 3}])
def test_a_card_of_another_version_is_refused(place: Path, change: dict[str, Any]) -> None:
    file = place / "snapshot.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=r"snapshot\.json: not a snapshot of this version"):
        read_card(place)


def test_where_there_is_no_snapshot_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing/snapshot\.json"):
        read_card(tmp_path / "nothing")


@pytest.mark.parametrize("breaking", ["save_file", "write_json"])
def test_nothing_half_written_is_left(tiny: Trunk, place: Path, breaking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_card(place)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, breaking, fail)
    with pytest.raises(InputError, match="No space left on device"):
        save_snapshot(place, tiny, "pm", 4, None, {})
    with pytest.raises(InputError, match="No space left on device"):
        save_snapshot(place.with_name("new"), tiny, "pm", 4, None, {})
    assert [path.name for path in place.parent.iterdir()] == ["pm"]
    assert read_card(place) == before


def test_weights_of_another_layout_are_refused(tiny: Trunk, place: Path) -> None:
    tensors = load_file(place / "weights.safetensors")
    renamed = {key if key.startswith("score_head.") else f"model.{key}.weight": value for key, value in tensors.items()}
    save_file(renamed, place / "weights.safetensors")
    card = read_json(place / "snapshot.json")
    write_json(place / "snapshot.json", {**card, "weights_hash": sha256(place / "weights.safetensors")})
    with pytest.raises(InputError, match="not those of a rank-4 adapter"):
        load_snapshot(place, tiny, "back")
