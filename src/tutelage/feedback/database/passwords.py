"""Passwords, hashed by argon2id. A hash takes a tenth of a second and 64 MiB: at most two are made at once."""

from functools import cache
from threading import Semaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 128  # characters
_AT_ONCE = Semaphore(2)
_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """
    Raises:
        ValueError: too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters")
    with _AT_ONCE:
        return _hasher.hash(password)


def is_password(password: str, stored: str | None) -> bool:
    """Whether a password is the one of this hash. Without a hash (no such login) it takes as long to say no."""
    with _AT_ONCE:
        nobody = _nobody()  # made at the first question of all, whoever it is about
        try:
            return _hasher.verify(stored or nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
