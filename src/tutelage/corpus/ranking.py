"""Answers to one prompt, each with a score: which pairs of them become comparisons."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, repeat
from math import comb
from typing import Any, NamedTuple

from tutelage.corpus.rules import DropReason, Turn, comparison_of_answers
from tutelage.dialogue import Comparison, Kind

PAIRS_A_PROMPT = 10
"""At most so many comparisons come of one prompt: a thread of thirty answers has 435 pairs; it would drown the rest."""


class Ranked(NamedTuple):
    """An answer; a higher score is better. `about` is what its source tells of it, for the provenance."""

    text: str
    score: float
    about: Mapping[str, Any]


def ranked_comparisons(
    prompt: Sequence[Turn], answers: Sequence[Ranked], kind: Kind, origin: Mapping[str, Any]
) -> Iterator[Comparison | DropReason]:
    """The comparisons of the answers to one prompt, and the reason of every pair that is none (see `ranked_pairs`)."""
    for pair in ranked_pairs([answer.score for answer in answers]):
        if isinstance(pair, DropReason):
            yield pair
        else:
            chosen, rejected = (answers[place] for place in pair)
            provenance = {**origin, "chosen": chosen.about, "rejected": rejected.about}
            yield comparison_of_answers(prompt, chosen.text, rejected.text, kind, provenance)


def ranked_pairs(scores: Sequence[float], limit: int = PAIRS_A_PROMPT) -> Iterator[tuple[int, int] | DropReason]:
    """Pairs of places, the better first: those with the widest gap first (the label is surest there), at most `limit`.

    Every other pair gives the reason why it is left out; fewer than two scores give one reason.
    """
    if len(scores) < 2:
        yield DropReason.FEW_ANSWERS
        return
    places = sorted(range(len(scores)), key=lambda place: -scores[place])
    pairs = [pair for pair in combinations(places, 2) if scores[pair[0]] != scores[pair[1]]]
    pairs.sort(key=lambda pair: scores[pair[1]] - scores[pair[0]])
    yield from pairs[:limit]
    yield from repeat(DropReason.PAIR_LIMIT, max(0, len(pairs) - limit))
    yield from repeat(DropReason.EQUAL_SCORES, comb(len(scores), 2) - len(pairs))
