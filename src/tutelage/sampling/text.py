"""The text that a response's tokens spell, read while they come."""

from collections.abc import Sequence
from typing import Any

HALF = "\ufffd"  # what decoding puts for bytes that are not a whole character (yet)


class Text:
    """Whole characters only, up to the first stop string, which may lie across token borders.

    Each reading decodes the last few tokens, not all: a token may change what the one before it spells (a character of
    several tokens, a space that a word's first piece loses), so that a window over both is compared.
    """

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._window, self._read = 0, 0  # tokens: where the window begins, and up to where `_settled` goes
        self._settled = ""
        self._open = ""  # characters behind it, of tokens that also hold the beginning of another
        self._stop_at: int | None = None

    def read(self, ids: Sequence[int]) -> None:
        """Go on to the end of `ids`, which begin with those read before."""
        known, searched = self._decode(ids[self._window : self._read]), len(self.whole)
        fresh = self._decode(ids[self._window :])[len(known) :]
        self._open = fresh.rstrip(HALF)
        if fresh and not fresh.endswith(HALF):
            self._settled, self._open = self._settled + fresh, ""
            self._window, self._read = self._read, len(ids)
        found = [self.whole.find(mark, max(0, searched - len(mark))) for mark in self._stop]
        self._stop_at = min((place for place in found if place >= 0), default=None)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was read."""
        return self._stop_at is not None

    @property
    def whole(self) -> str:
        """All that was read, a stop string included."""
        return self._settled + self._open

    @property
    def final(self) -> str:
        """What a reader sees if no token follows."""
        return self.whole[: self._stop_at].strip()

    @property
    def certain(self) -> str:
        """What no token that follows can take back: without what may be the beginning of a stop string."""
        text = self.whole
        held = (size for mark in self._stop for size in range(1, len(mark)) if text.endswith(mark[:size]))
        return text[: len(text) - max(held, default=0)].strip()

    def _decode(self, ids: Sequence[int]) -> str:
        # Cleaning up spaces before punctuation would change text that was told already.
        text = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)
