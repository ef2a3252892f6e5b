"""A judgment of another's turn, given before one sees what was chosen."""

from collections.abc import Sequence

from fastapi import HTTPException, Request

from tutelage.collect.forms import BlindForm
from tutelage.collect.gate import principal_of
from tutelage.collect.site import site_of
from tutelage.collect.words import choice_of
from tutelage.feedback.database.others import JUDGED_MODES, BlindTurn, OthersTurns
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.tables import CheckReason, Mode, Purpose


def give(
    request: Request,
    purpose: Purpose,
    reason: CheckReason = "random",
    modes: Sequence[Mode] = JUDGED_MODES,
    conversation: str | None = None,
) -> BlindTurn | None:
    """A turn that was begun on, or another one; None: none is left."""
    database, principal = site_of(request).database, principal_of(request)
    with database.reading() as session:
        candidates = OthersTurns(session, principal, purpose).candidates(reason, modes, conversation)
    with database.writing() as session:
        return OthersTurns(session, principal, purpose).next(candidates, reason, modes, conversation)


def judge_blind(request: Request, purpose: Purpose, turn: int, form: BlindForm) -> None:
    """Store it.

    Raises:
        HTTPException: 409, another choice of the same person stands already; it says which.
        Conflict: the key came with another form.
    """
    choice = choice_of(form.position)
    try:
        with site_of(request).database.writing() as session:
            others = OthersTurns(session, principal_of(request), purpose)
            others.judge(turn, *choice, key=form.key, milliseconds=form.milliseconds)
    except Conflict as conflict:
        if conflict.stored is None:
            raise
        if conflict.stored != choice:
            side, strength = conflict.stored
            raise HTTPException(
                409, f"You chose answer {side.upper()}, {strength} of 4, before. That stands."
            ) from None
