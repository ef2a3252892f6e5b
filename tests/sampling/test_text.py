"""The text of tokens while they come: whole characters, stop strings, nothing told that is taken back."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.modeling.tiny import tiny_tokenizer
from tutelage.sampling.text import HALF, Text

TOKENIZER = tiny_tokenizer()  # a token a byte


def ids_of(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False, split_special_tokens=True).input_ids)


def told(ids: Sequence[int], stop: tuple[str, ...] = ()) -> tuple[list[str], Text]:
    """What is certain after each token, up to the stop."""
    text, seen = Text(TOKENIZER, stop), []
    for end in range(1, len(ids) + 1):
        text.read(ids[:end])
        seen.append(text.final if text.stopped else text.certain)
        if text.stopped:
            break
    return seen, text


PIECES = st.sampled_from(["a", "b", "ab", " ", "\n", "ß", "🙂", "Human:", "\n\n", "END", "E", "<|user|>"])


@settings(max_examples=200, deadline=None)
@given(
    text=st.lists(PIECES, max_size=15).map("".join),
    stop=st.lists(st.sampled_from(["END", "\n\nHuman:", "aab", "ß", "b🙂", "E"]), max_size=2).map(tuple),
)
def test_what_was_told_is_the_beginning_of_what_comes(text: str, stop: tuple[str, ...]) -> None:
    seen, read = told(ids_of(text), stop)
    for earlier, later in zip(seen, [*seen[1:], read.final], strict=True) if seen else ():
        assert later.startswith(earlier)
    assert not any(HALF in part for part in seen)
    found = [text.find(mark) for mark in stop if mark in text]
    # Of several, the one that is whole first ends it.
    whole_first = min((text.find(mark) + len(mark) for mark in stop if mark in text), default=len(text))
    candidates = [text[:whole_first].find(mark) for mark in stop if mark in text[:whole_first]]
    assert read.stopped == bool(found)
    assert read.final == text[: min(candidates, default=len(text))].strip()


def test_it_is_told_as_soon_as_it_is_certain() -> None:
    seen, _ = told(ids_of("say it\n\nHuman"), ("\n\nHuman:",))
    assert seen == ["s", "sa", "say", "say", "say i", *["say it"] * 8]
    seen, _ = told(ids_of("a\n\nHugo"), ("\n\nHuman:",))
    assert seen[-2:] == ["a\n\nHug", "a\n\nHugo"]
    assert seen[:5] == ["a"] * 5


def test_half_a_character_is_never_told_and_never_final() -> None:
    whole = ids_of("x🙂")
    for cut in range(2, len(whole)):
        seen, text = told(whole[:cut])
        assert (seen[-1], text.final) == ("x", "x")
    assert told(whole)[1].final == "x🙂"


def test_bytes_that_are_no_character_are_shown_as_such_once_others_follow() -> None:
    broken = [*ids_of("x🙂")[:-1], *ids_of("yz")]
    seen, text = told(broken)
    assert text.final == f"x{HALF}yz"
    assert seen[-2] == f"x{HALF}y"


def test_special_tokens_are_no_text() -> None:
    assert told([*ids_of("a"), TOKENIZER.eos_token_id, *ids_of("b")])[1].final == "ab"


@pytest.mark.parametrize("length", [400])
def test_reading_a_token_does_not_read_everything_again(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = TOKENIZER.decode
    monkeypatch.setattr(TOKENIZER, "decode", lambda ids, **options: (decoded.append(len(ids)), decode(ids, **options))[1])
    told(ids_of("x" * length))
    assert max(decoded) <= 2
