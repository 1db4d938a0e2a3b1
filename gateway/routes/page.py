"""The page at /, /docs (OpenAPI) and /problems: HTML that loads nothing from another host."""

from html import escape
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.problem import KINDS

FOLDER = Path(__file__).parents[1] / "page"
ALWAYS = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    + ALWAYS
)
# Swagger UI writes style elements.
DOCS_POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
HELP = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Problems</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/page/page.css">
<main class="plain"><h1>Problems</h1>
<p>What the <code>type</code> of an error means.</p><dl>{rows}</dl></main>"""
router = APIRouter(include_in_schema=False)


class Files(StaticFiles):
    """Files that a browser may keep; before it uses them again, it asks whether they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or a 404 that becomes a problem."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def mount(app: FastAPI) -> None:
    """Adds the files that the pages need."""
    app.mount("/page", Files(directory=FOLDER))
    app.mount("/swagger", Files(directory=str(files("fastapi_offline") / "static")))


def page(name: str, policy: str) -> HTMLResponse:
    """One of the pages, under its policy."""
    html = (FOLDER / name).read_text(encoding="utf-8")
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})


@router.api_route("/", methods=["GET", "HEAD"])
async def front_page() -> Response:
    """The page on which a person tries the service."""
    return page("index.html", PAGE_POLICY)


@router.get("/docs")
async def docs() -> Response:
    """OpenAPI, for people."""
    return page("docs.html", DOCS_POLICY)


@router.get("/problems")
async def problem_kinds() -> Response:
    """What the types of problems mean."""
    rows = "".join(
        f'<dt id="{kind}"><code>{kind}</code></dt><dd>{escape(text)}</dd>' for kind, text in KINDS.items()
    )
    return HTMLResponse(HELP.format(rows=rows), headers={"Content-Security-Policy": PAGE_POLICY})
