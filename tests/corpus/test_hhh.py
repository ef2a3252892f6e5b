"""The shipped HHH prompt and pairs: enough of each sort, apart from each other, and length gives nothing away."""

import re
from collections import Counter

import pytest

from tutelage.corpus.hhh import HHHPair, hhh_pairs, hhh_prompt
from tutelage.corpus.prompts import load_prompts
from tutelage.corpus.splits import normalised
from tutelage.dialogue import Dialogue, Message, Prompt
from tutelage.modeling.trunk import Trunk


def share_longer(pairs: list[HHHPair], words: bool) -> float:
    """How often the better answer is the longer one."""

    def size(text: str) -> int:
        return len(text.split()) if words else len(text)

    return sum(size(pair.better.text) > size(pair.worse.text) for pair in pairs) / len(pairs)


def test_there_are_enough_pairs_of_each_category() -> None:
    sizes = Counter(pair.category for pair in hhh_pairs())
    assert set(sizes) == {"helpful", "honest", "harmless", "other"}
    assert min(sizes.values()) >= 30
    assert sizes.total() >= 120
    assert len({pair.id for pair in hhh_pairs()}) == sizes.total()


@pytest.mark.parametrize("words", [True, False])
def test_length_does_not_give_the_better_answer_away(words: bool) -> None:
    assert 0.4 <= share_longer(list(hhh_pairs()), words) <= 0.6
    for category in ("helpful", "honest", "harmless", "other"):
        part = [pair for pair in hhh_pairs() if pair.category == category]
        assert 0.4 <= share_longer(part, words) <= 0.6, category


def test_no_prompt_is_used_twice() -> None:
    firsts = [normalised(pair.prompt.first_human_turn) for pair in hhh_pairs()]
    assert [text for text, count in Counter(firsts).items() if count > 1] == []
    shipped = {normalised(item.prompt.first_human_turn) for item in load_prompts()}
    assert shipped.intersection(firsts) == set()
    assert {normalised(message.text) for message in hhh_prompt()}.intersection(firsts) == set()


def test_pairs_are_hardly_alike() -> None:
    bags = [(pair.id, frozenset(re.findall(r"[a-z0-9]+", pair.prompt.last_human_turn.lower()))) for pair in hhh_pairs()]
    close = [
        (one, other)
        for place, (one, these) in enumerate(bags)
        for other, those in bags[:place]
        if len(these & those) >= 0.6 * len(these | those)
    ]
    assert close == []


def test_the_prompt_is_14_dialogues_before_a_fresh_human_turn() -> None:
    turns = hhh_prompt()
    assert len(turns) >= 28
    Dialogue(turns)
    assert turns[-1].role == "assistant"
    Prompt((*turns, Message("human", "Hello")))


def test_the_prompt_leaves_room_in_the_embedded_bases_context(embedded: Trunk) -> None:
    ids = embedded.encoder.prompt_ids(Prompt((*hhh_prompt(), Message("human", "Hello"))))
    assert embedded.context is not None
    assert len(ids) + 300 < embedded.context
