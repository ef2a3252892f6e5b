"""From a training command's options to settings, and what is refused before anything is loaded or trained."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tutelage.cli.score import require_writable
from tutelage.plumbing.errors import InputError

if TYPE_CHECKING:
    from tutelage.modeling.trunk import Trunk

Settings = TypeVar("Settings")


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
    try:
        return kind(**(options | instead))
    except ValueError as error:
        name, said = str(error).split(" ", 1)
        raise InputError(f"--{name.replace('_', '-')} {said}") from error


def require_room(trunk: "Trunk", max_tokens: int) -> None:
    """Raises InputError where the base does not read so many tokens."""
    if trunk.context is not None and max_tokens > trunk.context:
        raise InputError(f"--max-tokens {max_tokens}: {trunk.name} reads {trunk.context} tokens")


def require_place(out: Path, overwrite: bool) -> None:
    """Raises InputError where a snapshot cannot be written, or one lies there that is not to be replaced."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file; name a directory")
    if out.is_dir() and any(out.iterdir()):
        if not (out / "snapshot.json").is_file():
            raise InputError(f"--out {out}: not empty, and not a snapshot; name a new directory")
        if not overwrite:
            raise InputError(f"--out {out}: holds a snapshot; name another directory, or replace it by --overwrite")
    require_writable(out.resolve().parent)
