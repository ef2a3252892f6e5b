"""The admin's view of files of comparisons that were read in: to be browsed, never exported as collected here."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse

from tutelage.collect.gate import GatedRoute
from tutelage.collect.pages import page
from tutelage.collect.site import site_of
from tutelage.feedback.database.files import imported, imports
from tutelage.feedback.database.tables import Import

router = APIRouter(route_class=GatedRoute)

ROWS = 20  # a page

LARGEST = 2**31 - 1
FileNumber = Annotated[int, Path(ge=1, le=LARGEST)]
RowNumber = Annotated[int, Query(ge=0, le=LARGEST)]


@router.get("/admin/imports")
def files(request: Request) -> HTMLResponse:
    """The files that were read in."""
    with site_of(request).database.reading() as session:
        found = imports(session)
    return page(request, "admin_imports.html.j2", files=found)


@router.get("/admin/imports/{file}")
def rows(request: Request, file: FileNumber, after: RowNumber = 0) -> HTMLResponse:
    """Rows of a file, those behind the number `after`."""
    with site_of(request).database.reading() as session:
        found = session.get(Import, file)
        if found is None:
            raise HTTPException(404)
        shown = list(imported(session, file, after, ROWS))
    more = shown[-1][0] if shown and shown[-1][0] < found.rows else None
    return page(
        request, "admin_import.html.j2", file=found, rows=shown, after=after, before=max(after - ROWS, 0), more=more
    )
