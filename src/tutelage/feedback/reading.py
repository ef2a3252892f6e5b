"""A prompt and a response as a reader takes them in: words, stems, sentences. No model, nothing but the text."""

import re
from dataclasses import dataclass
from functools import lru_cache

from tutelage.dialogue import Finish, Prompt
from tutelage.feedback.phrases import FUNCTION_WORDS

_WORD = re.compile(r"[a-z0-9]+(?:['’][a-z]+)*")
_LIST_MARK = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|\n+")
_SUFFIXES = ("ingly", "ation", "ness", "ment", "ing", "ies", "est", "ed", "es", "er", "ly", "s", "e", "y")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the features of a response are computed from. Words are in lower case, topics are stems of content words."""

    text: str
    finish: Finish
    words: tuple[str, ...]
    sentences: tuple[str, ...]
    topics: tuple[str, ...]
    asked: frozenset[str]


@lru_cache(maxsize=65536)
def read(prompt: Prompt, text: str, finish: Finish) -> Reading:
    """Take a response in, against what the human turns of its prompt asked about."""
    lower = text.lower().replace("’", "'").strip()
    asked = " ".join(message.text for message in prompt.messages if message.role == "human")
    return Reading(
        text=lower,
        finish=finish,
        words=tuple(words(lower)),
        sentences=tuple(part.strip() for part in _SENTENCE_END.split(_LIST_MARK.sub("", lower)) if words(part)),
        topics=tuple(topics(lower)),
        asked=frozenset(topics(asked)),
    )


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))


def topics(text: str) -> list[str]:
    """Stems of the content words, in order, repeats kept."""
    return [stem(word) for word in words(text) if word not in FUNCTION_WORDS and len(word) > 1]


def stem(word: str) -> str:
    """The word without possessive and one common ending; at least three letters stay.

    >>> [stem(word) for word in ("stain", "stains", "stained", "baking", "bakes", "neighbour's")]
    ['stain', 'stain', 'stain', 'bak', 'bak', 'neighbour']
    """
    word = word.removesuffix("'s")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word.removesuffix(suffix)
    return word
