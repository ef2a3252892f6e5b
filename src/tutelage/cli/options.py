"""From a command's options to settings, and what is refused before anything is loaded or trained."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import is_torn

if TYPE_CHECKING:
    from tutelage.modeling.trunk import Trunk

Settings = TypeVar("Settings")
WRITTEN = {  # beside a snapshot, by the commands that train
    "weights.safetensors", "snapshot.json", "model_card.json", "metrics.jsonl", "teacher.safetensors", "best_of.jsonl",
    "rl.html",
}  # fmt: skip


@contextmanager
def named_as_options() -> Iterator[None]:
    """Turns what a settings record refuses, a `ValueError` that begins with a field's name, into an `InputError` that
    begins with the option."""
    try:
        yield
    except ValueError as error:
        name, said = str(error).split(" ", 1)
        raise InputError(f"--{name.replace('_', '-')} {said}") from error


def settings_from(command: Any, kind: type[Settings], **instead: Any) -> Settings:
    """The settings record that a command's options of the same names make, but for those given `instead`.

    Raises:
        InputError: one of them cannot be.
    """
    if not 0 <= command.held_out < 1:
        raise InputError(f"--held-out must lie in [0, 1), not {command.held_out}")
    if command.seed < 0:
        raise InputError(f"--seed must be at least 0, not {command.seed}")
    options = {setting.name: getattr(command, setting.name) for setting in fields(kind)}  # type: ignore[arg-type]
    with named_as_options():
        return kind(**(options | instead))


def require_room(trunk: "Trunk", max_tokens: int) -> None:
    """Raises InputError where the base does not read so many tokens."""
    if trunk.context is not None and max_tokens > trunk.context:
        raise InputError(f"--max-tokens {max_tokens}: {trunk.name} reads {trunk.context} tokens")


def require_prompt_room(trunk: "Trunk", path: Path, longest: int, max_tokens: int, cure: str) -> None:
    """Raises InputError where the base does not read the longest prompt of a file with a response."""
    if trunk.context is not None and longest + max_tokens > trunk.context:
        raise InputError(
            f"--prompts {path}: a prompt of {longest} tokens and --max-tokens {max_tokens} exceed the {trunk.context} "
            f"tokens that {trunk.name} reads; leave such prompts out{cure}, or lower --max-tokens"
        )


def require_place(out: Path, overwrite: bool) -> None:
    """Raises InputError where a snapshot cannot be written, or one lies there that is not to be replaced."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file; name a directory")
    if out.is_dir() and any(out.iterdir()):
        if not (out / "snapshot.json").is_file():
            raise InputError(f"--out {out}: not empty, and not a snapshot; name a new directory")
        if not overwrite:
            raise InputError(f"--out {out}: holds a snapshot; name another directory, or replace it by --overwrite")
        if strange := sorted(path.name for path in out.iterdir() if path.name not in WRITTEN and not is_torn(path)):
            raise InputError(
                f"--out {out}: --overwrite would remove {strange[0]}, which is not ours; move it, or name another"
            )
    require_writable(out.resolve().parent)


def require_writable(directory: Path, flag: str = "--out") -> None:
    """Make the directory and a file in it that vanishes, now rather than after long work.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise InputError(
            f"{directory}: cannot be written ({error.strerror or error}); choose another {flag}"
        ) from error
