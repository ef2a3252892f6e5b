"""A judgment of another's turn, given before one sees what was chosen."""

from fastapi import Request

from tutelage.collect.forms import BlindForm
from tutelage.collect.gate import principal_of
from tutelage.collect.site import site_of
from tutelage.collect.words import choice_of
from tutelage.feedback.database.others import OthersTurns
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.tables import Purpose


def judge_blind(request: Request, purpose: Purpose, turn: int, form: BlindForm) -> None:
    """Store it; one that stands already stays as it is."""
    side, strength = choice_of(form.position)
    try:
        with site_of(request).database.writing() as session:
            others = OthersTurns(session, principal_of(request), purpose)
            others.judge(turn, side, strength, key=form.key, milliseconds=form.milliseconds)
    except Conflict:
        pass
