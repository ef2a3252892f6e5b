"""The model process as the web processes see it: ask for the answers of a turn, follow them, cancel them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from tutelage.collect.answers import (
    LONGEST_LINE,
    WAITING,
    AnswerEvent,
    AnswerRequest,
    AnswersLost,
    event_from_record,
    request_to_record,
)

PATIENCE = 60.0  # seconds without a word from the model process before an attempt counts as lost


class Answerer(Protocol):
    """Who answers a turn."""

    def follow(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent]:
        """Begin an attempt and hear its events, until both sides are finished; one that is known is joined, so that a
        refreshed page or another web process hears the same.

        Raises:
            AnswersLost: they will not come; no part of them may be judged.
        """
        ...

    async def cancel(self, turn: int, attempt: int) -> None:
        """Stop and forget an attempt; one that is not known is none."""
        ...


class ModelClient:
    """An `Answerer` over the socket of a model process. Holds nothing between calls."""

    def __init__(self, socket: Path, secret: str, patience: float = PATIENCE) -> None:
        self._socket = socket
        self._secret = secret
        self._patience = patience

    async def follow(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent]:
        async with self._asking("follow", request=request_to_record(request)) as records:
            async for record in records:
                if record != WAITING:  # it has been heard: that was all
                    yield event_from_record(record)

    async def cancel(self, turn: int, attempt: int) -> None:
        with suppress(AnswersLost):  # a process that is gone has nothing to stop
            async with self._asking("cancel", turn=turn, attempt=attempt) as records:
                await anext(records, None)

    async def health(self) -> dict[str, Any]:
        """What the process says of itself: answers running, and seconds since its model last took a step.

        Raises:
            AnswersLost: it does not reply.
        """
        async with self._asking("health") as records:
            return await anext(records)

    @asynccontextmanager
    async def _asking(self, do: str, **what: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        writer = None
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=LONGEST_LINE)
            writer.write(json.dumps({"secret": self._secret, "do": do, **what}).encode() + b"\n")
            await writer.drain()
            yield self._records(reader)
        except (OSError, TimeoutError, ValueError) as error:
            raise AnswersLost(f"the model process cannot be reached ({error})") from error
        finally:
            if writer is not None:
                writer.close()

    async def _records(self, reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
        """The records of a reply, up to the one that says it is whole: a connection that ends before was cut."""
        while True:
            async with asyncio.timeout(self._patience):
                line = await reader.readline()
            if not line.endswith(b"\n"):
                raise AnswersLost("the model process went away")
            record = json.loads(line)
            if "end" in record:
                return
            yield record
