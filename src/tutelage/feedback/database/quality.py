"""How workers judge, in numbers: for each the side, the speed and the extremes, and how far they agree."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from tutelage.feedback.database.others import TOO_FAST
from tutelage.feedback.database.tables import Conversation, Judgment, Mode, Response, Review, Turn, WorkPeriod
from tutelage.statistics.agreement import Agreement, Scale, krippendorff_alpha, raw_agreement
from tutelage.statistics.intervals import Interval, Labels, wilson

LONGEST = 300_000  # milliseconds; a longer time is a pause, not a thought


@dataclass(frozen=True, slots=True)
class Quality:
    """A worker's standing judgments.

    Attributes:
        judgments: how many.
        side_a: the share of clicks on side a, with its interval; far from a half it is a leaning.
        extreme: the share of the strongest clicks.
        too_fast: the share made in less than 2 seconds.
        seconds: mean time of a judgment, none counted longer than five minutes; None: no times.
        agreement: how often they pick what another picked of the same two answers; None: too few were judged twice.
        hours: of work.
        units: judgments that are paid for.
        reviews: verdicts on their writing and on their judging, counted: "writing good" and so on.
    """

    worker_id: str
    judgments: int
    side_a: Interval
    extreme: float
    too_fast: float
    seconds: float | None
    agreement: Agreement | None
    hours: float
    units: int
    reviews: dict[str, int]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Agreement on turns that more than one worker has judged; None: too few of them.

    Attributes:
        turns: how many.
        raw: how often two workers pick the same answer.
        alpha: Krippendorff's, of the picks (nominal).
        graded_alpha: Krippendorff's, of the eight steps of the scale (ordinal).
    """

    turns: int
    raw: Agreement | None
    alpha: float | None
    graded_alpha: float | None


def qualities(session: Session) -> list[Quality]:
    """Of every worker who has judged, the most diligent first; six queries, however many judgments there are."""
    mine = Judgment.stands
    milliseconds = case((Judgment.milliseconds > LONGEST, LONGEST), else_=Judgment.milliseconds)
    numbers = session.execute(
        select(
            Judgment.worker_id,
            func.count(),
            func.sum(case((Judgment.side == "a", 1), else_=0)),
            func.sum(case((Judgment.strength == 4, 1), else_=0)),
            func.sum(case((Judgment.milliseconds < TOO_FAST, 1), else_=0)),
            func.avg(milliseconds),
        )
        .where(mine)
        .group_by(Judgment.worker_id)
        .order_by(func.count().desc(), Judgment.worker_id)
    ).all()
    hours, reviews, met = _hours(session), _reviews(session), _met(session)
    return [
        Quality(
            worker_id, count, wilson(side_a, count), extreme / count, fast / count,
            None if mean is None else float(mean) / 1000, _agreement_of(worker_id, met),
            *hours.get(worker_id, (0.0, 0)), dict(reviews[worker_id]),
        )
        for worker_id, count, side_a, extreme, fast, mean in numbers
    ]  # fmt: skip


def overlap(session: Session) -> Overlap:
    """How far workers agree on the turns that several have judged."""
    met = _met(session)
    turns = [judged.turn_id for judged in met]
    workers = [judged.worker_id for judged in met]
    picks = [judged.chosen_id for judged in met]
    return Overlap(
        len(set(turns)),
        _raw(turns, workers, picks),
        _alpha(turns, workers, picks, "nominal"),
        _alpha(turns, workers, [judged.grade for judged in met], "ordinal"),
    )


def counts_by_mode(session: Session) -> dict[Mode, dict[str, int]]:
    """Of each mode, how many conversations and standing judgments there are."""
    conversations = session.execute(select(Conversation.mode, func.count()).group_by(Conversation.mode))
    judged = session.execute(
        select(Conversation.mode, func.count())
        .join(Turn, Turn.conversation_id == Conversation.id)
        .join(Judgment, Judgment.turn_id == Turn.id)
        .where(Judgment.stands)
        .group_by(Conversation.mode)
    )
    judgments: dict[Mode, int] = {row.mode: row[1] for row in judged}
    return {mode: {"conversations": count, "judgments": judgments.get(mode, 0)} for mode, count in conversations}


@dataclass(frozen=True, slots=True)
class _Judged:
    """A judgment of a turn that several have judged; `grade`: -4 much for slot b, to 4 much for slot a."""

    turn_id: int
    worker_id: str
    chosen_id: int
    grade: int


def _met(session: Session) -> list[_Judged]:
    """The standing judgments of all turns that someone besides their own worker has judged."""
    shared = select(Judgment.turn_id).where(Judgment.purpose != "own", Judgment.stands)
    rows = session.execute(
        select(Judgment.turn_id, Judgment.worker_id, Judgment.chosen_id, Judgment.strength, Response.slot)
        .join(Response, Response.id == Judgment.chosen_id)
        .where(Judgment.stands, Judgment.turn_id.in_(shared))
    )
    return [
        _Judged(turn, worker, chosen, strength if slot == "a" else -strength)
        for turn, worker, chosen, strength, slot in rows
        if chosen is not None and strength is not None  # so it is, by CHECK, where a judgment stands
    ]


def _agreement_of(worker_id: str, met: list[_Judged]) -> Agreement | None:
    """Of this worker with each of the others: the others' agreement among themselves does not count."""
    by_turn: dict[int, dict[str, int]] = defaultdict(dict)
    for judged in met:
        by_turn[judged.turn_id][judged.worker_id] = judged.chosen_id
    pairs = [
        ((turn, other), picks[worker_id], picks[other])
        for turn, picks in by_turn.items()
        if worker_id in picks
        for other in picks
        if other != worker_id
    ]
    keys = [key for key, _, _ in pairs for _ in range(2)]
    return _raw(keys, ["mine", "other"] * len(pairs), [pick for _, mine, other in pairs for pick in (mine, other)])


def _raw(pairs: Labels, workers: Labels, picks: Labels) -> Agreement | None:
    return raw_agreement(pairs, workers, picks) if len(set(pairs)) >= 2 and len(pairs) > len(set(pairs)) else None


def _hours(session: Session) -> dict[str, tuple[float, int]]:
    rows = session.execute(
        select(WorkPeriod.worker_id, func.sum(WorkPeriod.last_seen - WorkPeriod.started), func.sum(WorkPeriod.units))
        .group_by(WorkPeriod.worker_id)
    )  # fmt: skip
    return {worker: (float(seconds) / 3600, int(units)) for worker, seconds, units in rows}


def _reviews(session: Session) -> defaultdict[str, Counter[str]]:
    rows = session.execute(
        select(Conversation.worker_id, Review.writing, Review.judging)
        .join(Turn, Turn.conversation_id == Conversation.id)
        .join(Review, Review.turn_id == Turn.id)
    )
    verdicts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for worker, writing, judging in rows:
        verdicts[worker].update((f"writing {writing}", f"judging {judging}"))
    return verdicts


def _alpha(turns: list[int], workers: list[str], values: list[int], scale: Scale) -> float | None:
    """None where alpha is not defined: too few turns, or all values the same."""
    try:
        return krippendorff_alpha(turns, workers, values, scale)
    except ValueError:
        return None
