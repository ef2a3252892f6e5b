"""What text may be stored: of any worker, and of any model."""

import hashlib
import json
import re
from collections.abc import Sequence

LONGEST_TEXT, LONGEST_GOAL, LONGEST_COMMENT = 20_000, 2_000, 5_000  # characters

# PostgreSQL holds no NUL, and UTF-8 no half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with what no database can hold replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def written(text: str, what: str, longest: int = LONGEST_TEXT) -> str:
    """What a worker wrote, as it is stored; its line ends are `\\n`, and it begins and ends on no blank.

    Raises:
        ValueError: it is empty or too long.
    """
    clean = storable(text).replace("\r\n", "\n").strip()
    if not clean:
        raise ValueError(f"{what} is empty")
    if len(clean) > longest:
        raise ValueError(f"{what} has {len(clean)} characters; at most {longest} can be taken")
    return clean


def prompt_hash(texts: Sequence[str]) -> str:
    """SHA-256 of a dialogue: the texts of its turns, the human's first."""
    return hashlib.sha256(json.dumps(list(texts), ensure_ascii=False).encode()).hexdigest()
