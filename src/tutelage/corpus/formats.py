"""The formats of files of comparisons, and how a row is told to be of one of them."""

from collections.abc import Mapping
from typing import Any, Literal

from tutelage.plumbing.errors import InputError

TextFormat = Literal["hh", "trl"]
"""One comparison a line, texts only; read and written, byte for byte."""

Writable = Literal["hh", "tutelage", "trl"]

Format = Literal["hh", "tutelage", "trl", "stackexchange", "oasst", "pandalm", "finegrained", "llmbar", "table"]
"""All that is read. Those that are not `Writable` are other people's material: a line of theirs may hold several
comparisons, and one that is written out again is written in a format of ours."""

_KEYS: dict[Format, set[str]] = {
    "stackexchange": {"title", "body_html", "answers"},
    "oasst": {"message_tree_id", "tree_state", "prompt"},
    "pandalm": {"instruction", "response1", "response2", "annotator1"},
    "finegrained": {"question", "prediction 1", "preference"},
    "llmbar": {"input", "output_1", "output_2", "label"},
    "trl": {"prompt", "chosen", "rejected"},
}


def detect(record: Mapping[str, Any], where: str) -> Format:
    """The format of a row, by its keys; a `table` has none of its own, so it is never detected.

    Raises:
        InputError: it is of none.
    """
    if record.get("record") in ("comparison", "dropped"):
        return "tutelage"
    for format, keys in _KEYS.items():
        if keys <= record.keys():
            return format
    if {"chosen", "rejected"} <= record.keys():
        return "trl" if isinstance(record["chosen"], list) else "hh"
    raise InputError(
        f"{where}: expected a row of a known format: 'record' as comparison or dropped (tutelage), chosen and rejected "
        f"(hh), with prompt (trl), or one of {', '.join(_KEYS)}; a table needs its columns named (--columns); "
        f"found the keys {', '.join(record) or 'none'}"
    )
