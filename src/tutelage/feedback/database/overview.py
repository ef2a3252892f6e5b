"""What an admin sees of workers and of the data: counts made by the database, in a few statements whatever its size."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Executable, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session, aliased

from tutelage.dialogue import Question
from tutelage.feedback.database.agreement import not_excluded
from tutelage.feedback.database.hours import in_earnest
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.tables import (
    Conversation,
    Invite,
    Judgment,
    Response,
    Review,
    Role,
    Snapshot,
    Turn,
    Worker,
    WorkerStatus,
    WorkPeriod,
)
from tutelage.statistics.intervals import Interval, wilson

PAGE = 50  # workers
WEEK = 7 * 86400
FIRST_MONDAY = 4 * 86400  # seconds from the epoch to its first Monday
FEW_JUDGMENTS = 30  # of a pair of snapshots, below which little can be said of it
LEANING = 0.02  # what the interval of the left side's share may miss one half by


@dataclass(frozen=True, slots=True)
class WorkerNumbers:
    """A worker and what they did, practice apart; shares are None before the first judgment.

    Attributes:
        median_s: median seconds from the sight of both answers to the click.
        extreme: share of judgments of the greatest strength.
        left: share of clicks on side a.
        agreement: with other workers and reviewers who judged the same answers, with its 95% interval (Wilson).
        last_check: when a reviewer last gave a verdict on their work.
    """

    id: str
    status: WorkerStatus
    roles: tuple[Role, ...]
    source: str
    conversations: int = 0
    judgments: int = 0
    median_s: float | None = None
    extreme: float | None = None
    left: float | None = None
    agreement: Interval | None = None
    hours: float = 0.0
    units: int = 0
    last_check: float | None = None


@dataclass(frozen=True, slots=True)
class DataNumbers:
    """What was collected, standing judgments of the workers' own turns alone.

    Attributes:
        weeks: judgments by the Monday (seconds since the epoch) and question.
        strengths: judgments by question and strength.
        left: share of clicks on side a by question.
        pairs: judgments by the two snapshots compared, active and stopped ones.
    """

    weeks: dict[int, Counter[Question]] = field(default_factory=dict)
    strengths: dict[Question, Counter[int]] = field(default_factory=dict)
    left: dict[Question, float] = field(default_factory=dict)
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.strengths.values())


class Overview:
    """Raises Forbidden for whoever is no admin."""

    def __init__(self, session: Session, principal: Principal) -> None:
        principal.require("admin")
        self._session = session

    def workers(self, after: str | None = None) -> list[WorkerNumbers]:
        """A page of workers with their numbers, the newest first, behind the worker of this id."""
        page = select(Worker).order_by(Worker.created.desc(), Worker.id).limit(PAGE)
        if after is not None:
            last = self._session.scalar(select(Worker.created).where(Worker.id == after))
            if last is not None:
                page = page.where(or_(Worker.created < last, and_(Worker.created == last, Worker.id > after)))
        return self._with_numbers(self._session.scalars(page).all())

    def worker(self, worker_id: str) -> WorkerNumbers | None:
        """One worker's numbers."""
        row = self._session.get(Worker, worker_id)
        return None if row is None else self._with_numbers([row])[0]

    def _with_numbers(self, workers: Sequence[Worker]) -> list[WorkerNumbers]:
        ids = [worker.id for worker in workers]
        conversations = self._by_worker(_conversations(ids))
        judgments = self._by_worker(_judgments(ids))
        agreements, periods = self._by_worker(_agreements(ids)), self._by_worker(_periods(ids))
        checks = self._by_worker(_checks(ids))
        rows = []
        for worker in workers:
            count, extreme, left, median = judgments.get(worker.id, (0, None, None, None))
            same, shared = agreements.get(worker.id, (0, 0))
            seconds, units = periods.get(worker.id, (0.0, 0))
            rows.append(
                WorkerNumbers(
                    worker.id,
                    worker.status,
                    tuple(sorted(row.role for row in worker.roles)),
                    worker.source,
                    conversations.get(worker.id, (0,))[0],
                    count,
                    median and median / 1000,
                    extreme,
                    left,
                    wilson(same, shared) if shared else None,
                    seconds / 3600,
                    units,
                    checks.get(worker.id, (None,))[0],
                )
            )
        return rows

    def _by_worker(self, statement: Executable) -> dict[str, tuple[Any, ...]]:
        return {row[0]: tuple(row[1:]) for row in self._session.execute(statement)}

    def open_invites(self) -> list[Invite]:
        """Invites that can still be used, the newest first."""
        usable = select(Invite).where(Invite.uses_left > 0, Invite.expires > time.time())
        return list(self._session.scalars(usable.order_by(Invite.created.desc()).limit(PAGE)))

    def data(self) -> DataNumbers:
        """What was collected so far."""
        week = cast(Judgment.created - FIRST_MONDAY, BigInteger) // WEEK
        left = func.sum(case((Judgment.side == "a", 1), else_=0))
        keys = (Judgment.strength, week, Judgment.question)  # numbers first: a database that sorts compares them fast
        own = select(*keys, func.count(), left).where(Judgment.stands, Judgment.purpose == "own", in_earnest())
        numbers, clicks = DataNumbers(), Counter[Question]()
        for strength, number, question, count, on_the_left in self._session.execute(own.group_by(*keys)):
            numbers.weeks.setdefault(number * WEEK + FIRST_MONDAY, Counter())[question] += count
            numbers.strengths.setdefault(question, Counter())[strength] += count
            clicks[question] += on_the_left
        for question, strengths in numbers.strengths.items():
            numbers.left[question] = clicks[question] / strengths.total()
        numbers.pairs.update(self._pairs())
        return numbers

    def _pairs(self) -> dict[tuple[str, str], int]:
        """Judged turns by their pair of snapshots; pairs of active snapshots that were never judged count 0."""
        names = self._session.scalars(select(Snapshot.name).where(Snapshot.status == "active").order_by(Snapshot.name))
        active = list(names)
        pairs = {(one, other): 0 for place, one in enumerate(active) for other in active[place:]}
        chosen, other = aliased(Response), aliased(Response)
        counts = (
            select(chosen.snapshot, other.snapshot, func.count())
            .select_from(Judgment)
            .join(chosen, chosen.id == Judgment.chosen_id)
            .join(other, other.id == Judgment.other_id)
            .where(
                Judgment.stands, Judgment.purpose == "own", chosen.snapshot.is_not(None), other.snapshot.is_not(None)
            )
            .group_by(chosen.snapshot, other.snapshot)
        )
        for one, another, count in self._session.execute(counts):
            first, second = sorted((str(one), str(another)))
            pair = (first, second)
            pairs[pair] = pairs.get(pair, 0) + count
        return pairs


def warnings(numbers: DataNumbers) -> list[str]:
    """What an admin should do something about."""
    found = [
        f"The pair {one}–{other} has {count} judgments; about {FEW_JUDGMENTS} say something."
        for (one, other), count in sorted(numbers.pairs.items())
        if one != other and count < FEW_JUDGMENTS
    ]
    for question, strengths in numbers.strengths.items():
        clicks = strengths.total()
        left = wilson(round(numbers.left[question] * clicks), clicks)
        if not left.low - LEANING <= 0.5 <= left.high + LEANING:
            found.append(
                f"Of the clicks on “{question.replace('_', ' ')}”, {left.value:.0%} are on the left, where sides are "
                "drawn by lot: look at each worker's share."
            )
    return found


def connected(pairs: dict[tuple[str, str], int]) -> bool:
    """Whether a chain of judged pairs leads from every snapshot to every other, as one scale of ratings needs it."""
    groups = {name: {name} for pair in pairs for name in pair}
    for (one, other), count in pairs.items():
        if count and groups[one] is not groups[other]:
            joined = groups[one] | groups[other]
            groups.update(dict.fromkeys(joined, joined))
    return len({id(group) for group in groups.values()}) <= 1


def _conversations(ids: Sequence[str]) -> Executable:
    return (
        select(Conversation.worker_id, func.count())
        .where(Conversation.worker_id.in_(ids), Conversation.mode != "practice")
        .group_by(Conversation.worker_id)
    )


def _judgments(ids: Sequence[str]) -> Executable:
    """Number, share of the greatest strength, share of side a, and median time: the mean of the middle one or two."""
    of, untimed = Judgment.worker_id, Judgment.milliseconds.is_(None)
    ranked = (
        select(
            Judgment.worker_id, Judgment.strength, Judgment.side, Judgment.milliseconds,
            func.row_number().over(partition_by=of, order_by=(untimed, Judgment.milliseconds)).label("place"),
            func.count(Judgment.milliseconds).over(partition_by=of).label("of"),
        )
        .where(Judgment.worker_id.in_(ids), Judgment.stands, in_earnest())
        .subquery()
    )  # fmt: skip
    extreme, left = (func.avg(case((so, 1.0), else_=0.0)) for so in (ranked.c.strength == 4, ranked.c.side == "a"))
    in_the_middle = (2 * ranked.c.place).between(ranked.c.of, ranked.c.of + 2)
    median = func.avg(case((in_the_middle, ranked.c.milliseconds * 1.0)))
    return select(ranked.c.worker_id, func.count(), extreme, left, median).group_by(ranked.c.worker_id)


def _agreements(ids: Sequence[str]) -> Executable:
    """Of the judgments that another person, who is not excluded, gave on the same two answers: how many chose the same
    one, and how many."""
    other = aliased(Judgment)
    same = func.sum(case((other.chosen_id == Judgment.chosen_id, 1), else_=0))
    again = and_(other.turn_id == Judgment.turn_id, other.worker_id != Judgment.worker_id, other.stands)
    pair = or_(
        and_(other.chosen_id == Judgment.chosen_id, other.other_id == Judgment.other_id),
        and_(other.chosen_id == Judgment.other_id, other.other_id == Judgment.chosen_id),
    )
    return (
        select(Judgment.worker_id, same, func.count())
        .join(other, again)
        .where(Judgment.worker_id.in_(ids), Judgment.stands, pair, not_excluded(other.worker_id))
        .group_by(Judgment.worker_id)
    )


def _periods(ids: Sequence[str]) -> Executable:
    seconds = func.sum(WorkPeriod.last_seen - WorkPeriod.started)
    return (
        select(WorkPeriod.worker_id, seconds, func.sum(WorkPeriod.units))
        .where(WorkPeriod.worker_id.in_(ids))
        .group_by(WorkPeriod.worker_id)
    )


def _checks(ids: Sequence[str]) -> Executable:
    return (
        select(Conversation.worker_id, func.max(Review.created))
        .join(Turn, Turn.conversation_id == Conversation.id)
        .join(Review, Review.turn_id == Turn.id)
        .where(Conversation.worker_id.in_(ids))
        .group_by(Conversation.worker_id)
    )
