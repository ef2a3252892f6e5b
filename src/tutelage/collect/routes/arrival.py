"""How a person comes in: the front door, an invite, a hand-off by a platform, a sign-in."""

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from tutelage.collect.gate import GatedRoute, visit_of
from tutelage.collect.pages import STATIC, go, static_file

router = APIRouter(route_class=GatedRoute)


@router.get("/")
def front(request: Request) -> RedirectResponse:
    """On to where this person works."""
    principal = visit_of(request).principal
    if principal.worker is None:
        return go("/login")
    if principal.may("worker"):
        return go("/home")
    return go("/admin" if principal.may("admin") else "/review")


@router.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/static/{name}")
def shipped(name: str) -> Response:
    """A stylesheet, script or icon; its address changes with its content."""
    if name not in STATIC:
        raise HTTPException(404)
    lasting = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(static_file(name), media_type=STATIC[name], headers=lasting)
