"""Pages and redirections: how a handler answers."""

import hashlib
import secrets
import time
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from tutelage.collect.rendering import to_html
from tutelage.collect.security import set_session_cookie
from tutelage.collect.site import site_of

STATIC = {"app.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml"}


def page(request: Request, template: str, status: int = 200, **content: Any) -> HTMLResponse:
    """A page for whoever sent the request.

    Templates know beside `content`: `me` (the caller), `csrf`, `nonce`, `settings`, `static(name)`, `new_key()`.
    """
    visit = getattr(request.state, "visit", None)  # a path that no route has is answered before the gate
    site = site_of(request)
    html = (
        _templates()
        .get_template(template)
        .render(
            me=visit and visit.caller,
            csrf=visit and visit.csrf,
            nonce=request.state.nonce,
            settings=site.settings,
            **content,
        )
    )
    response = HTMLResponse(html, status)
    if visit and visit.fresh:
        set_session_cookie(response, visit.token, site.settings.tls)
    return response


def go(path: str, **parts: object) -> RedirectResponse:
    """On to another page by GET, so that a refresh sends nothing twice."""
    return RedirectResponse(path.format_map({name: quote(str(part), safe="") for name, part in parts.items()}), 303)


def error_page(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """One sentence on what is wrong, and what to do."""
    response = page(request, "error.html.j2", status, message=message)
    response.headers.update(headers or {})
    return response


@cache
def static_file(name: str) -> bytes:
    """A shipped stylesheet, script or icon; KeyError for any other name."""
    if name not in STATIC:
        raise KeyError(name)
    return resources.files("tutelage.collect").joinpath("static", name).read_bytes()


@cache
def static(name: str) -> str:
    """The address of a shipped file; it changes with the content, so that browsers may keep it for ever."""
    return f"/static/{name}?v={hashlib.sha256(static_file(name)).hexdigest()[:12]}"


def day(seconds: float) -> str:
    """A time in seconds since the epoch, as a date (UTC)."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def moment(seconds: float) -> str:
    """A time in seconds since the epoch, to the minute (UTC)."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def ago(seconds: float) -> str:
    """How long ago a time was, in its largest unit."""
    passed = max(0.0, time.time() - seconds)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if count := int(passed // length):
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def new_key() -> str:
    """A key that makes a form be carried out once."""
    return secrets.token_urlsafe(12)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tutelage.collect"),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": to_html, "day": day, "moment": moment, "ago": ago}
    environment.globals |= {"static": static, "new_key": new_key}
    return environment
