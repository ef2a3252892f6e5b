"""Snapshots against each other before held-out workers on held-out prompts, and what they are then worth."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

import numpy as np

from tutelage.corpus.duels import DuelColumns
from tutelage.corpus.prompts import PromptItem
from tutelage.dialogue import Comparison, Judgment, Response, comparison_from_judgment
from tutelage.feedback.crowd import QUESTION_OF, Crowd
from tutelage.statistics.ratings import RatingsRefused, rate, win_rate

Result = dict[str, Any]
NO_ANSWER = "[no answer]"


def hold_tournament(
    items: Sequence[PromptItem],
    responses: Mapping[str, Sequence[Sequence[Response]]],
    crowd: Crowd,
    judgments_per_pair: int,
    seed: int,
) -> list[Judgment]:
    """Judgments of every two snapshots' responses to every prompt.

    `responses[snapshot][i][j]` is its j-th response to prompt i; j-th meets j-th. The workers take turns, so that
    each gives the same share and no one judges the same two responses twice. An answer of no words is
    judged as worth nothing and kept as `NO_ANSWER`: a policy that falls silent must not leave the ranking.
    """
    rng = np.random.default_rng(seed)
    judgments = []
    for one, other in combinations(responses, 2):
        turn, order = 0, rng.permutation(len(crowd.workers))
        for item, ours, theirs in zip(items, responses[one], responses[other], strict=True):
            for a, b in zip(ours, theirs, strict=True):
                for _ in range(min(judgments_per_pair, len(order))):
                    worker = crowd.workers[order[turn % len(order)]]
                    judgment = crowd.judge_by(worker, item.prompt, QUESTION_OF[item.kind], a, b, rng)
                    judgments.append(replace(judgment, a=spelt_out(judgment.a), b=spelt_out(judgment.b)))
                    turn += 1
    return judgments


def spelt_out(response: Response) -> Response:
    """The response, or where it has no words the note that there is none."""
    return response if response.text.strip() else replace(response, text=NO_ANSWER)


def duels(judgments: Sequence[Judgment]) -> list[Comparison]:
    """The judgments that say something: those of equal responses are left out."""
    found = []
    for judgment in judgments:
        with suppress(ValueError):
            found.append(comparison_from_judgment(judgment))
    return found


def ratings_table(fought: Sequence[Comparison], anchor: str) -> tuple[list[Result], str | None]:
    """Elo of each snapshot with its interval, or none and the reason why no rating can be given."""
    columns = _columns(fought)
    try:
        ratings = rate(columns.winners, columns.losers, columns.workers, columns.prompts, anchor=anchor)
    except RatingsRefused as refusal:
        return [], str(refusal)
    rows = [(name, ratings.interval(name)) for name in ratings.snapshots]
    return [
        {"snapshot": name, "elo": ratings.elo(name), "low": interval.low, "high": interval.high}
        for name, interval in sorted(rows, key=lambda row: row[1].value)
    ], None


def duel_win_rate(fought: Sequence[Comparison], of: str, against: str, kind: str | None = None) -> Result | None:
    """Share of direct comparisons won, with its interval over workers and prompts; None where it cannot be given."""
    columns = _columns([duel for duel in fought if kind in (None, duel.kind)])
    everyone = columns.winners, columns.losers, columns.workers, columns.prompts
    try:
        return asdict(win_rate(*everyone, of=of, against=against))
    except RatingsRefused:
        return None


def _columns(fought: Sequence[Comparison]) -> DuelColumns:
    columns = DuelColumns()
    for number, comparison in enumerate(fought, start=1):
        columns.append(comparison, f"duel {number}")
    return columns
