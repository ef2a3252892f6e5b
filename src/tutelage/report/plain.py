"""Numbers and hostile text made fit to be shown. What is missing is said to be missing, never left blank."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

MISSING = "not measured"
_BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def cleaned(value: Any) -> Any:
    """A copy of a JSON value in which every text is safe to print and every number is finite or None.

    Control characters, lone surrogates and marks that turn the writing direction become visible code points: a model's
    text could otherwise break the file or rearrange what stands around it. Escaping HTML is left to the template.
    """
    if isinstance(value, str):
        return "".join(_visible(character) for character in value)
    if isinstance(value, dict):
        return {cleaned(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    control = unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in _BIDI_CONTROLS
    return f"⟨U+{ord(character):04X}⟩" if control else character


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def decimal(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if is_number(value) else MISSING


def percent(value: Any) -> str:
    """A share of 0 to 1 as per cent."""
    return f"{100 * value:.1f}%" if is_number(value) else MISSING


def duration(seconds: Any) -> str:
    if not is_number(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def memory(size: Any) -> str:
    """Bytes as MiB or GiB."""
    if not is_number(size):
        return MISSING
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def bracketed(interval: Mapping[str, Any], form: str) -> str:
    """A value with the ends of its interval behind it, all in this format."""
    return f"{interval['value']:{form}} [{interval['low']:{form}}, {interval['high']:{form}}]"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, a line a row."""
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
