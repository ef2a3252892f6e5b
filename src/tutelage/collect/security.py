"""Guards that know nothing of workers or handlers: the cookie, the cross-site check, the headers of every response.

The cookie holds 256 random bits. A login is found by their hash (`feedback.database.access`), and the
token against cross-site requests is derived from them, so that no other secret is needed and visitors have one too.
"""

import hmac
import logging
import secrets
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOG = logging.getLogger("tutelage.collect")

CONTENT_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it, browsers send `Origin: null` along with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def cookie_name(tls: bool) -> str:
    """`__Host-` binds the cookie to this host and to TLS; browsers refuse it over plain HTTP."""
    return "__Host-tutelage" if tls else "tutelage"


def set_session_cookie(response: Response, token: str, tls: bool) -> None:
    """Give the browser its token, for the session; how long that lasts is the server's business."""
    response.set_cookie(cookie_name(tls), token, path="/", secure=tls, httponly=True, samesite="lax")


def csrf_token(token: str) -> str:
    """What a form must carry to prove that it was made for the holder of this cookie."""
    # The token is the message: as a key it would be filled up with zeros, and one that has them would prove the same.
    return hmac.new(b"form", token.encode(), "sha256").hexdigest()


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that another site sent this request."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc != headers.get("host")
    except ValueError:  # no address at all, like http://[
        return True


def is_ours(token: str, sent: object) -> bool:
    """Whether a form carries the cookie's own token."""
    return isinstance(sent, str) and hmac.compare_digest(csrf_token(token).encode(), sent.encode())


def safe_path(wanted: str) -> str:
    """A path of our own to go on to; anything else becomes the front page."""
    plain = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if plain else "/"


class Shield:
    """Outermost: puts headers on every response, logs it without secrets, and turns a bug into a plain 500."""

    def __init__(self, app: ASGIApp, tls: bool) -> None:
        self.app = app
        self.headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        begun = time.perf_counter()
        status = 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(self.headers)
                headers["Content-Security-Policy"] = CONTENT_POLICY.format(nonce=nonce)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, guarded)
        except Exception:  # the outermost guard: whatever broke is in the log, and the browser gets an answer
            LOG.exception("%s %s failed", scope["method"], _route(scope))
            if not status:
                await PlainTextResponse("Something broke on our side. Please try again.", 500)(scope, receive, guarded)
        LOG.info("%s %s %d %.0f ms", scope["method"], _route(scope), status, 1000 * (time.perf_counter() - begun))


def _route(scope: Scope) -> str:
    """The path as declared: what stands in its place (an invite's token, a worker's id) stays out of the log."""
    return getattr(scope.get("route"), "path", "(no route)")
