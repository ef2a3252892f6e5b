"""Work that one process at a time may do."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.plumbing.errors import InputError


@contextmanager
def held(path: Path, refusal: str) -> Iterator[None]:
    """Hold a file or directory that is there: meanwhile no other process does.

    Raises:
        InputError: another one does; `refusal` is its message.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(refusal) from error
    try:
        yield
    finally:
        os.close(handle)
