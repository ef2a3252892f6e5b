"""Drafts come from contexts of ten queries, end with their line, and depend on the seed alone."""

from itertools import islice
from typing import Any

import pytest

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.sampling import prompt_writer
from tutelage.sampling.prompt_writer import write_drafts

QUERIES = [f"What is number {number}?" for number in range(12)]
PARAMETERS = SamplingParameters(max_tokens=6)


def test_drafts_end_with_their_line(tiny: Trunk) -> None:
    drafts = list(islice(write_drafts(tiny, QUERIES, SamplingParameters(max_tokens=60), seed=0), 64))
    assert {draft.finished for draft in drafts} == {True, False}
    assert not any("\n" in draft.text for draft in drafts)


def test_equal_seeds_write_the_same_and_others_something_else(tiny: Trunk) -> None:
    first, again, other = (list(islice(write_drafts(tiny, QUERIES, PARAMETERS, seed), 40)) for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) > 30


def test_every_context_shows_ten_different_queries(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    draw = prompt_writer.sample

    def listen(trunk: Trunk, contexts: Any, *rest: Any) -> Any:
        asked.extend(trunk.encoder.tokenizer.decode(ids) for ids in contexts)
        return draw(trunk, contexts, *rest)

    monkeypatch.setattr(prompt_writer, "sample", listen)
    list(islice(write_drafts(tiny, QUERIES, PARAMETERS, 0), 40))
    assert len(asked) == len(set(asked)) == 8
    for text in asked:
        assert sum(query in text for query in QUERIES) == 10
        assert text.endswith("Human:")


def test_too_few_examples_are_refused(tiny: Trunk) -> None:
    with pytest.raises(InputError, match="at least 10"):
        next(write_drafts(tiny, QUERIES[:9], PARAMETERS, 0))
