"""Where requests wait that will write: without a thread, so that reading never waits behind them, and not without end.

A database takes one writer at a time, or few, and a handler that waits for it holds its thread. What is counted here is
of one server process and means nothing to another.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tutelage.feedback.database.connection import WAIT_FOR_LOCK
from tutelage.feedback.database.refusals import Unavailable

AT_ONCE = 16  # fewer than there are threads: the others read
WAITING = 200


class Line:
    """So many requests may write at once, and so many more may wait for that."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._room = waiting

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among those that write, for as long as this is entered.

        Raises:
            Unavailable: at once where too many wait, or after as long as one waits for the database.
        """
        await self._wait()
        try:
            yield
        finally:
            self._places.release()

    async def _wait(self) -> None:
        if self._places.locked() and self._room <= 0:
            raise Unavailable("too many wait to write")
        self._room -= 1
        try:
            async with asyncio.timeout(WAIT_FOR_LOCK):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable("others have been writing for too long") from error
        finally:
            self._room += 1
