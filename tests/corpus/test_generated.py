"""What a model wrote is sifted: fit to be asked, and nothing twice."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tutelage.corpus.generated import DROPS, MOST_WORDS, WrittenLine, as_items, few_shot, sift
from tutelage.corpus.prompts import item_to_record, read_prompts
from tutelage.plumbing.files import write_jsonl

KNOWN = ["How do I keep basil alive on a windowsill?", "What is a good name for a grey cat?"]


def sifted(*texts: str, finished: bool = True) -> tuple[list[str], dict[str, int]]:
    drops = Counter[str]()
    kept = list(sift([WrittenLine(text, finished) for text in texts], KNOWN, drops))
    return kept, dict(drops)


def test_the_context_shows_the_queries_a_line_each_and_begins_one_more() -> None:
    assert few_shot(["What is\n rain?", "Why?"]) == "Human: What is rain?\n\nHuman: Why?\n\nHuman:"


def test_what_is_fit_is_kept_in_order_on_one_line() -> None:
    kept, drops = sifted("  How do bees\nfind home? ", '"Can you write me a poem about the sea?"')
    assert kept == ["How do bees find home?", "Can you write me a poem about the sea?"]
    assert drops == {}


def test_every_reason_to_drop_has_its_case() -> None:
    cases = {
        "short": "Why so?",
        "long": " ".join(f"word{number}" for number in range(MOST_WORDS + 1)),
        "speaker": "What is rain? Assistant: Water.",
        "characters": "What is 12345678901 + 98765432109 * 3 ?",
        "loop": "go on go on go on go on",
        "copy": "how do i keep basil alive, on a windowsill",
    }
    for reason, text in cases.items():
        assert sifted(text) == ([], {reason: 1}), reason
    assert sifted("How do bees find home?", finished=False) == ([], {"unfinished": 1})
    assert sifted("How do bees find home?", "how do bees find home") == (["How do bees find home?"], {"duplicate": 1})
    assert set(cases) | {"unfinished", "duplicate"} == set(DROPS)


def test_a_query_in_nearly_the_same_words_is_the_same() -> None:
    one, near, far = "How do I cook brown rice at home?", "How do I cook brown rice at work?", "How do I cook a goose?"
    assert sifted(one, near, far) == ([one, far], {"duplicate": 1})
    assert sifted("How do I keep a cat happy on a windowsill?")[1] == {}  # 5 of 12 word pairs in common
    assert sifted("So how do I keep basil alive on a windowsill?")[1] == {"copy": 1}  # 8 of 9


@given(st.lists(st.text(max_size=40), max_size=12))
def test_nothing_is_lost_and_what_is_kept_is_kept_again(texts: list[str]) -> None:
    kept, drops = sifted(*texts)
    assert len(kept) + sum(drops.values()) == len(texts)
    assert sifted(*kept)[0] == kept


def test_prompts_read_as_they_were_written(tmp_path: Path) -> None:
    items = as_items(["How do bees find home?", "What is rain made of?"], "helpful")
    write_jsonl(tmp_path / "p.jsonl", map(item_to_record, items))
    assert list(read_prompts(tmp_path / "p.jsonl")) == items
    assert {item.split for item in items} == {"ppo"}
