"""A browser reduced to its connection: HTTP/1.1 with keep-alive, on as little of the machine as can be."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

LONGEST_HEAD = 1 << 20  # bytes


class Refused(Exception):
    """The server closed the connection, or answered with an error."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers in lower case, and the whole body; of a stream an empty one."""

    status: int
    headers: Mapping[str, str]
    body: str


class Browser:
    """One connection at a time, opened again where the server has closed it."""

    def __init__(self, host: str, port: int, cookie: str) -> None:
        self._address = host, port
        # As a script's `fetch` on a page of the app's own sends it.
        self._always = f"Host: {host}:{port}\r\nCookie: {cookie}\r\nSec-Fetch-Mode: cors\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> Answer:
        """A page or a form, whole."""
        head = await self._ask(method, path, fields)
        if "content-length" not in head.headers:
            return Answer(head.status, head.headers, "".join([part async for part in self._chunks()]))
        body = await self._read().readexactly(int(head.headers["content-length"]))
        return Answer(head.status, head.headers, body.decode())

    async def stream(self, path: str) -> AsyncIterator[str]:
        """The parts of a stream as they come, one for each event."""
        await self._ask("GET", path)
        async for part in self._chunks():
            yield part

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def _ask(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> Answer:
        body = urlencode(fields or {}).encode()
        form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if body else ""
        sent = f"{method} {path} HTTP/1.1\r\n{self._always}{form}\r\n".encode() + body
        if self._writer is None or self._read().at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(*self._address, limit=LONGEST_HEAD)
        self._writer.write(sent)
        status, *lines = (await self._read().readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        answer = Answer(int(status.split()[1]), headers, "")
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status}")
        return answer

    async def _chunks(self) -> AsyncIterator[str]:
        while size := int(await self._read().readuntil(b"\r\n"), 16):
            yield (await self._read().readexactly(size + 2))[:-2].decode()
        await self._read().readexactly(2)

    def _read(self) -> asyncio.StreamReader:
        assert self._reader is not None
        return self._reader
