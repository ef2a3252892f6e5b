"""How far workers agree on the answers that several of them have judged (`overview` holds each worker's numbers)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tutelage.feedback.database.tables import Exclusion, Judgment, Response
from tutelage.statistics.agreement import Agreement, Scale, krippendorff_alpha, raw_agreement


@dataclass(frozen=True, slots=True)
class Overlap:
    """Agreement on turns that more than one worker has judged; None: too few of them to tell.

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


def overlap(session: Session) -> Overlap:
    """How far workers agree, reviewers among them, over all that is collected; who is excluded is not asked."""
    shared = select(Judgment.turn_id).where(Judgment.purpose != "own", Judgment.stands)
    found = session.execute(
        select(Judgment.turn_id, Judgment.worker_id, Judgment.strength, Response.slot)
        .join(Response, Response.id == Judgment.chosen_id)
        .where(Judgment.stands, Judgment.turn_id.in_(shared), not_excluded(Judgment.worker_id))
    ).all()
    people = Counter(row.turn_id for row in found)
    judged = [row for row in found if people[row.turn_id] > 1]
    turns, workers = [row.turn_id for row in judged], [row.worker_id for row in judged]
    # Where on the scale, whatever side an answer was shown on: -4 much for the answer in slot b, 4 for that in slot a.
    steps = [row.strength * (1 if row.slot == "a" else -1) for row in judged]
    picks = [int(step > 0) for step in steps]
    several = len(set(turns))
    return Overlap(
        several,
        raw_agreement(turns, workers, picks) if several > 1 else None,
        _alpha(turns, workers, picks, "nominal"),
        _alpha(turns, workers, steps, "ordinal"),
    )


def not_excluded(worker: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """That no reviewer has excluded the worker."""
    standing = (Exclusion.subject_kind == "worker", Exclusion.stands, Exclusion.excluded)
    return worker.not_in(select(Exclusion.subject).where(*standing))


def _alpha(turns: Sequence[int], workers: Sequence[str], values: Sequence[int], scale: Scale) -> float | None:
    try:
        return krippendorff_alpha(turns, workers, values, scale)
    except ValueError:  # fewer than two different values
        return None
