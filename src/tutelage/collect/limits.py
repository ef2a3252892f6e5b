"""How often something may be done: buckets of tokens in the database, the same for all server processes."""

from dataclasses import dataclass

from fastapi import HTTPException, Request

from tutelage.collect.site import site_of
from tutelage.feedback.database.access import take_token, token_hash


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `burst` at once, and `per_second` in the long run."""

    name: str
    burst: float
    per_second: float


SIGN_IN = Limit("sign in", 30, 0.5)
ARRIVE = Limit("arrive", 300, 5)  # one address may be a whole office's
WORK = Limit("work", 120, 2)  # whatever a worker sends, and every opening of answers: a turn takes three


def take(request: Request, limit: Limit, who: str | None = None) -> None:
    """Count one, for a worker or for the address that the request comes from.

    Raises:
        HTTPException: 429, where there have been too many.
    """
    subject = who or token_hash(request.client.host if request.client else "nowhere")[:16]
    with site_of(request).database.writing(lasting=False) as session:
        allowed = take_token(session, f"{limit.name} {subject}", limit.burst, limit.per_second)
    if not allowed:
        raise HTTPException(429, headers={"Retry-After": "5"})
