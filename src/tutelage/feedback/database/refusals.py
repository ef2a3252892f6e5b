"""How the database says no. A text or number that cannot be is a `ValueError` that says what would be right."""

from typing import Any


class NotFound(Exception):
    """There is no such thing for this principal, whether or not another has it."""


class Forbidden(Exception):
    """The principal may not do this at all."""


class Conflict(Exception):
    """What is stored stands against the request; `stored` is what stands, fit to be shown to the principal."""

    def __init__(self, message: str, stored: Any = None) -> None:
        super().__init__(message)
        self.stored = stored


class Unavailable(Exception):
    """Nothing was stored, and the same request may succeed later: a full disk, a database or a model that is away."""
