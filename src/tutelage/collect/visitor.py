"""A browser without a screen: for simulated workers and load tests, which come by HTTP as people do."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tutelage.collect.page_reader import Form, Page, read_page
from tutelage.dialogue import Side

STREAM_SECONDS = 300.0  # how long answers are waited for
TRIES = 5  # of a request that the server has no time for


class Unexpected(Exception):
    """The app did not do what its pages promise."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The answers of a turn as they were streamed, and whether they came whole."""

    texts: dict[Side, str]
    whole: bool


class Visitor:
    """Keeps its cookie, knows the page it is on, sends that page's forms, and follows its stream."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.page = Page()
        self.path = "/"

    async def open(self, path: str) -> Page:
        """Go to a page; redirections are followed."""
        return self._arrive(await self._request("GET", path))

    async def send(self, form: Form | None, values: Mapping[str, Any] | None = None) -> Page:
        """Send a form of this page with these values filled in.

        Raises:
            Unexpected: the page has no such form or field, or the server refuses it.
        """
        if form is None:
            raise Unexpected(f"{self.path}: the form that was looked for is not there")
        if odd := set(values or {}) - form.names:
            raise Unexpected(f"{self.path}: the form to {form.action} has no {', '.join(sorted(odd))}")
        return self._arrive(await self._request("POST", form.action, data={**form.fields, **(values or {})}))

    async def follow(self) -> Seen:
        """Follow this page's stream to its end, then look at the page again."""
        if self.page.stream is None:
            raise Unexpected(f"{self.path}: no answers are coming")
        texts: dict[Side, str] = {"a": "", "b": ""}
        event = ""
        async with self._http.stream("GET", self.page.stream, timeout=STREAM_SECONDS) as response:
            if response.status_code != httpx.codes.OK:
                raise Unexpected(f"{self.page.stream}: {response.status_code}")
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event == "more":
                    for side, more in json.loads(line.removeprefix("data: ")).items():
                        texts[side] += more
        await self.open(self.path)
        return Seen(texts, event == "answered")

    async def _request(self, method: str, path: str, **what: Any) -> httpx.Response:
        for pause in range(TRIES):
            try:
                response = await self._http.request(method, path, **what)
            except httpx.TransportError as error:
                raise Unexpected(f"{method} {path}: {type(error).__name__} {error}") from error
            if response.status_code not in (429, 503):
                break
            await asyncio.sleep((1 + random.random()) * 2**pause / 4)
        if response.is_error and response.status_code != httpx.codes.CONFLICT:
            raise Unexpected(
                f"{method} {path}: {response.status_code} {read_page(response.text).texts.get('main', '')}"
            )
        return response

    def _arrive(self, response: httpx.Response) -> Page:
        self.path = response.url.path
        self.page = read_page(response.text)
        return self.page
