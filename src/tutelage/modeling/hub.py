"""Whether a base's name leads to a model at all: asked before anything is loaded, made or waited for."""

from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from tutelage.plumbing.errors import InputError

EMBEDDED = "smollm2-135m-instruct"
TINY = "tiny-random"
PATIENCE = 5.0  # seconds that the hub is given to answer


def require_there(name: str) -> None:
    """Stop where there is nothing to load a base from; quick, network or not.

    Args:
        name: a base that comes with us, a directory, or a hub id: one that was fetched before, or that the hub knows.

    Raises:
        InputError: it is none of these, or the hub cannot be asked.
    """
    if name in (EMBEDDED, TINY) or (Path(name) / "config.json").exists():
        return
    try:
        if not isinstance(try_to_load_from_cache(name, "config.json"), str):
            get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=PATIENCE)
    except Exception as error:  # whatever the HTTP library of its client raises
        raise not_there(name, error) from error


def not_there(name: str, error: Exception) -> InputError:
    """What to say of a base that cannot be had."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"base model {name!r}: not found or not permitted ({reason}). Give '{EMBEDDED}' (embedded), a directory "
        "with config.json, tokenizer and safetensors, or a hub id that your token may read (`hf auth login`)"
    )
