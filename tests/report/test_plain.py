import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.report.plain import cleaned, decimal, duration, memory, percent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("nul\0", "nul⟨U+0000⟩"),
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("abc\u202egnp.exe", "abc⟨U+202E⟩gnp.exe"),
        ("half \ud83d of a pair", "half ⟨U+D83D⟩ of a pair"),
        ("שלום, 你好, 👩‍🔬", "שלום, 你好, 👩‍🔬"),
    ],
)
def test_only_characters_that_act_on_their_surroundings_are_replaced(text: str, shown: str) -> None:
    assert cleaned(text) == shown


@settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=())))
def test_cleaned_text_can_be_written_and_stays_as_it_is_when_cleaned_again(text: str) -> None:
    once = cleaned(text)
    once.encode("utf-8")
    assert cleaned(once) == once


def test_cleaning_reaches_keys_and_nested_values_and_turns_what_is_not_finite_into_nothing() -> None:
    assert cleaned({"a\0": [float("nan"), {"b": "\x07"}, 1.5, True, None]}) == {
        "a⟨U+0000⟩": [None, {"b": "⟨U+0007⟩"}, 1.5, True, None]
    }


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (decimal(0.125, 3), "0.125"),
        (percent(0.7254), "72.5%"),
        (duration(9.26), "9.3 s"),
        (duration(612.4), "10 min 12 s"),
        (duration(7322), "2 h 2 min"),
        (memory(3 * 2**29), "1.5 GiB"),
        (memory(200 * 2**20), "200 MiB"),
    ],
)
def test_numbers_are_shown_with_their_unit(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize("show", [decimal, percent, duration, memory])
def test_a_missing_number_is_said_to_be_missing(show: object) -> None:
    assert callable(show)
    assert show(None) == "not measured"
