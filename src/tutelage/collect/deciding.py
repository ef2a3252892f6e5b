"""What those who lead a collection decide: a form that arrives twice is carried out once."""

from collections.abc import Callable

from fastapi import Request
from sqlalchemy.orm import Session

from tutelage.collect.forms import Keyed
from tutelage.collect.gate import principal_of
from tutelage.collect.site import site_of
from tutelage.feedback.database.once import once
from tutelage.feedback.database.principal import Principal


def decide(request: Request, form: Keyed, act: Callable[[Session, Principal], None]) -> None:
    """Carry a form out, unless one with its key was.

    Raises:
        Conflict: the key came with another form.
    """
    principal = principal_of(request)
    said = (request.method, request.url.path, form.model_dump(mode="json", exclude={"csrf", "key"}))
    with site_of(request).database.writing() as session:

        def carry_out() -> int:
            act(session, principal)
            return 0

        once(session, principal, form.key, said, carry_out)
