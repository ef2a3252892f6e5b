"""The admin's export: one archive, made while it is waited for and kept nowhere."""

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import Field
from starlette.background import BackgroundTask

from tutelage.collect.forms import Sent
from tutelage.collect.gate import GatedRoute
from tutelage.collect.pages import page
from tutelage.collect.site import site_of
from tutelage.feedback.database.export import export
from tutelage.feedback.database.files import frozen
from tutelage.plumbing.errors import InputError

router = APIRouter(route_class=GatedRoute)

UNNAMED = "feedback"


class ExportForm(Sent):
    name: Annotated[str, Field(max_length=60, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")] = ""


@router.get("/admin/exports")
def exports(request: Request) -> HTMLResponse:
    """Frozen exports, and a form for another."""
    return _page(request)


@router.post("/admin/exports", response_class=FileResponse)
def make_export(request: Request, form: Annotated[ExportForm, Form()]) -> Response:
    """Everything collected, as one archive."""
    folder = Path(tempfile.mkdtemp(prefix="tutelage-export-"))
    name = form.name or UNNAMED
    try:
        export(site_of(request).database, folder / name, name=form.name or None)
        archive = folder / f"{name}.tar"
        with tarfile.open(archive, "w") as tar:  # its files are packed already
            tar.add(folder / name, name)
    except InputError as error:
        shutil.rmtree(folder)
        return _page(request, 409, str(error))
    except BaseException:
        shutil.rmtree(folder)
        raise
    gone = BackgroundTask(shutil.rmtree, folder)
    return FileResponse(archive, media_type="application/x-tar", filename=archive.name, background=gone)


def _page(request: Request, status: int = 200, problem: str = "") -> HTMLResponse:
    with site_of(request).database.reading() as session:
        return page(request, "admin_exports.html.j2", status, frozen=frozen(session), problem=problem)
