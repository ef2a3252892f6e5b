"""The database as a source of comparisons: what training reads and what exports hold."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tutelage.corpus.records import comparison_to_record, json_line
from tutelage.corpus.rules import Drop, DropReason, Turn, comparison_from_turns
from tutelage.dialogue import Comparison, Judgment, Prompt, Response, comparison_from_judgment
from tutelage.feedback.database.collected import AnyRow, Collected, collected
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.planning import parameters
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import Exclusion
from tutelage.feedback.database.thread import edit_of
from tutelage.plumbing.progress import Advance, unwatched


class LeftOut(Enum):
    """Why a turn, a judgment or an edit gives no comparison. The value is the rule in one sentence."""

    PRACTICE = "The conversation was for practice."
    WITHDRAWN = "The worker has withdrawn the conversation."
    WORKER_EXCLUDED = "A reviewer has excluded the worker."
    CONVERSATION_EXCLUDED = "A reviewer has excluded the conversation."
    TURN_EXCLUDED = "A reviewer has excluded the turn."
    PROMPT_EXCLUDED = "Its dialogue goes through a turn that a reviewer has excluded."
    NOT_JUDGED = "No judgment of the turn stands."
    FOR_AGREEMENT = "The judgment is by another worker, made to measure agreement or to check."

    @property
    def key(self) -> str:
        """The name in files and in machine-readable output."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Excluded:
    """The ids (as texts) of what reviewers have excluded."""

    workers: frozenset[str]
    conversations: frozenset[str]
    turns: frozenset[str]


@dataclass(slots=True)
class FeedbackSource:
    """A database as training reads it; `left_out` counts by reason as `rows` passes."""

    database: Database
    left_out: Counter[LeftOut] = field(default_factory=Counter)

    def rows(self, advance: Advance = unwatched) -> Iterator[Comparison | Drop]:
        """Every standing judgment by the worker of the conversation, and every edit, the oldest conversation first.

        `advance` is called after each conversation; there are `conversations_in` of them.
        """
        with self.database.reading() as session:
            excluded = exclusions(session)
            for one in collected(session):
                for item in comparisons_of(one, excluded):
                    if isinstance(item, LeftOut):
                        self.left_out[item] += 1
                    elif isinstance(item, DropReason):
                        yield Drop(item, f"{self.database.name}, conversation {one.conversation.id}")
                    else:
                        yield item
                advance(1)


def exclusions(session: Session) -> Excluded:
    """The exclusions that stand."""
    rows = session.execute(
        select(Exclusion.subject_kind, Exclusion.subject).where(Exclusion.stands, Exclusion.excluded)
    ).all()
    by_kind = {kind: frozenset(row.subject for row in rows if row.subject_kind == kind) for kind in _KINDS}
    return Excluded(by_kind["worker"], by_kind["conversation"], by_kind["turn"])


_KINDS = ("worker", "conversation", "turn")


def comparisons_of(one: Collected, excluded: Excluded) -> Iterator[Comparison | DropReason | LeftOut]:
    """What the turns of a conversation give, in order; nothing is made of a dialogue with an excluded turn in it."""
    whole = left_out_whole(one, excluded)
    dialogue: list[str] = []
    spoilt = False
    for turn in one.turns:
        own = own_judgment(one, turn)
        reason = whole or _of_turn(is_excluded(turn, excluded), own is not None, spoilt)
        if reason:
            yield reason
        else:
            assert own is not None  # else the turn would not be judged
            yield from _of_judged(one, turn, own, (*dialogue, turn.text), excluded)
        if own:
            dialogue += [turn.text, kept_text(one, turn, own)]
            spoilt = spoilt or is_excluded(turn, excluded)


def own_judgment(one: Collected, turn: AnyRow) -> AnyRow | None:
    """The standing judgment of the conversation's own worker."""
    mine = (row for row in one.judgments[turn.id] if row.stands and row.worker_id == one.conversation.worker_id)
    return next(mine, None) if turn.state == TurnState.JUDGED else None


def kept_text(one: Collected, turn: AnyRow, own: AnyRow) -> str:
    """The answer that the thread went on with: the chosen one, or its latest edit."""
    by_id = {row.id: row for row in one.responses[turn.id]}
    text: str = (edit_of(one.responses[turn.id], own) or by_id[own.chosen_id]).text
    return text


def left_out_whole(one: Collected, excluded: Excluded) -> LeftOut | None:
    """Why nothing of a conversation is used, if so."""
    chat = one.conversation
    if chat.mode == "practice":
        return LeftOut.PRACTICE
    if chat.state == ConversationState.WITHDRAWN:
        return LeftOut.WITHDRAWN
    if chat.worker_id in excluded.workers:
        return LeftOut.WORKER_EXCLUDED
    return LeftOut.CONVERSATION_EXCLUDED if chat.id in excluded.conversations else None


def without_excluded_workers(one: Collected, excluded: Excluded) -> tuple[Collected, int]:
    """A conversation without what excluded workers said about it, and how many judgments, ratings and flags that is."""

    def kept(rows: list[AnyRow]) -> list[AnyRow]:
        return [row for row in rows if row.worker_id not in excluded.workers]

    judgments = {turn: kept(rows) for turn, rows in one.judgments.items()}
    rest = replace(one, judgments=judgments, ratings=kept(one.ratings), flags=kept(one.flags))
    return rest, _said(one) - _said(rest)


def _said(one: Collected) -> int:
    return sum(map(len, one.judgments.values())) + len(one.ratings) + len(one.flags)


def is_excluded(turn: AnyRow, excluded: Excluded) -> bool:
    """Whether a reviewer has excluded this very turn."""
    return str(turn.id) in excluded.turns


def _of_turn(out: bool, judged: bool, spoilt: bool) -> LeftOut | None:
    if out:
        return LeftOut.TURN_EXCLUDED
    if not judged:
        return LeftOut.NOT_JUDGED
    return LeftOut.PROMPT_EXCLUDED if spoilt else None


def _of_judged(
    one: Collected, turn: AnyRow, own: AnyRow, dialogue: tuple[str, ...], excluded: Excluded
) -> Iterator[Comparison | DropReason | LeftOut]:
    yield _comparison(one, turn, own, dialogue)
    edit = edit_of(one.responses[turn.id], own)
    if edit is not None:
        yield _edit(one, turn, own, edit, dialogue)
    for row in one.judgments[turn.id]:
        if row.stands and row.id != own.id:
            yield LeftOut.WORKER_EXCLUDED if row.worker_id in excluded.workers else LeftOut.FOR_AGREEMENT


def _comparison(one: Collected, turn: AnyRow, row: AnyRow, dialogue: tuple[str, ...]) -> Comparison | DropReason:
    by_id = {response.id: response for response in one.responses[turn.id]}
    chosen, other = by_id[row.chosen_id], by_id[row.other_id]
    if reason := _fault(dialogue, chosen.text, other.text):
        return reason
    a, b = (chosen, other) if row.side == "a" else (other, chosen)
    judgment = Judgment(
        Prompt.from_turns(*dialogue), response_of(a), response_of(b), row.question, row.side, row.strength,
        row.worker_id, row.created,
    )  # fmt: skip
    told = {"side": row.side, "milliseconds": row.milliseconds, "both_bad": bool(row.both_bad)}
    return replace(comparison_from_judgment(judgment), provenance=_provenance(one, turn, row.created) | told)


def _edit(
    one: Collected, turn: AnyRow, own: AnyRow, edit: AnyRow, dialogue: tuple[str, ...]
) -> Comparison | DropReason:
    """An edit is preferred to the original (section 2.2)."""
    original = next(row for row in one.responses[turn.id] if row.id == edit.edited_from)
    if reason := _fault(dialogue, edit.text, original.text):
        return reason
    return Comparison(
        Prompt.from_turns(*dialogue), response_of(edit), response_of(original), "helpful", None, own.worker_id,
        _provenance(one, turn, edit.finished_at) | {"edit": True},
    )  # fmt: skip


def _fault(dialogue: tuple[str, ...], one: str, other: str) -> DropReason | None:
    turns = [Turn("human" if index % 2 == 0 else "assistant", text) for index, text in enumerate(dialogue)]
    found = comparison_from_turns([*turns, Turn("assistant", one)], [*turns, Turn("assistant", other)], "helpful")
    return found if isinstance(found, DropReason) else None


def response_of(row: AnyRow) -> Response:
    """A stored answer as the word."""
    return Response(row.text, row.finish, row.snapshot, parameters(row.sampling), row.seed)


def _provenance(one: Collected, turn: AnyRow, time: float) -> dict[str, Any]:
    first = one.responses[turn.id][0]
    return {
        "conversation": one.conversation.id,
        "turn": turn.ordinal,
        "mode": one.conversation.mode,
        "time": time,
        "prompt_hash": first.prompt_hash,
        "software": first.software,
    }


def hash_of(comparisons: Iterable[Comparison]) -> str:
    """SHA-256 of comparisons in their order, as the lossless format writes them."""
    whole = hashlib.sha256()
    for comparison in comparisons:
        whole.update(json_line(comparison_to_record(comparison)).encode() + b"\n")
    return whole.hexdigest()
