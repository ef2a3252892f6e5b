"""Which snapshots answer a turn, drawn by lot: the worker is not to know, and every pair is to be met."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.refusals import Unavailable
from tutelage.feedback.database.tables import Conversation, Judgment, Mode, Response, Slot, Snapshot, Turn

LARGEST_SEED = 2**31 - 1
LATEST = 1000  # comparisons that a pair is chosen by


@dataclass(frozen=True, slots=True)
class Planned:
    """An answer to be made. `snapshot` is None in practice, where the answers are given texts."""

    slot: Slot
    snapshot: str | None
    sampling: SamplingParameters | None
    seed: int
    place: str = ""
    """Where the snapshot lies."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A turn that was claimed: the dialogue (texts of its turns, the human's first and last), and what answers it."""

    turn_id: int
    attempt: int
    dialogue: tuple[str, ...]
    answers: tuple[Planned, Planned]


def draw_pair(session: Session, mode: Mode, random: Random) -> tuple[Snapshot | None, Snapshot | None]:
    """The snapshots of sides a and b.

    Two draws by weight, with replacement (section 2.2: the same model or different ones); to compare snapshots, the
    different two that have met least often of late; in practice none.

    Raises:
        Unavailable: no snapshot is deployed, or too few to compare.
    """
    if mode == "practice":
        return None, None
    active = _active(session)
    if not active:
        raise Unavailable("no model is deployed")
    if mode == "compare":
        pair = _least_met(session, active, random)
    else:
        pair = random.choices(active, [snapshot.weight for snapshot in active], k=2)
    return pair[0], pair[1]


def may_compare(session: Session) -> bool:
    """Whether two snapshots answer."""
    return len(_active(session)) > 1


def _active(session: Session) -> list[Snapshot]:
    return list(session.scalars(_ACTIVE))


_ACTIVE = select(Snapshot).where(Snapshot.status == "active", Snapshot.weight > 0)


def _least_met(session: Session, active: Sequence[Snapshot], random: Random) -> list[Snapshot]:
    if len(active) < 2:
        raise Unavailable("only one model is deployed: there is nothing to compare")
    met = meetings(session)
    pairs = list(combinations(active, 2))
    fewest = min(met[_names(pair)] for pair in pairs)
    pair = list(random.choice([pair for pair in pairs if met[_names(pair)] == fewest]))
    random.shuffle(pair)
    return pair


def meetings(session: Session) -> Counter[tuple[str, str]]:
    """How often each two snapshots, by their names in order, were compared among the latest standing judgments.

    Among the latest only: a claim is not to take the longer the more has been collected.
    """
    latest = (
        select(Judgment.chosen_id, Judgment.other_id)
        .join(Turn, Turn.id == Judgment.turn_id)
        .join(Conversation, Conversation.id == Turn.conversation_id)
        .where(Judgment.stands, Conversation.mode == "compare")
        .order_by(Judgment.id.desc())
        .limit(LATEST)
        .subquery()
    )
    chosen, other = aliased(Response), aliased(Response)
    names = (
        select(chosen.snapshot, other.snapshot)
        .join_from(latest, chosen, chosen.id == latest.c.chosen_id)
        .join(other, other.id == latest.c.other_id)
    )
    met: Counter[tuple[str, str]] = Counter()
    for one, another in session.execute(names):
        if one is not None and another is not None:
            met[min(one, another), max(one, another)] += 1
    return met


def _names(pair: Sequence[Snapshot]) -> tuple[str, str]:
    first, second = sorted(snapshot.name for snapshot in pair)
    return first, second


def parameters(stored: dict[str, Any] | None) -> SamplingParameters | None:
    """The sampling parameters that a row holds."""
    if stored is None:
        return None
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    return SamplingParameters(**given)
