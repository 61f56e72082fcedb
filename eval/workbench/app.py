"""A desk and an address in; the workbench answers there until it is stopped."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Annotated

from fastapi import Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader
from nicegui import app, ui
from starlette.requests import Request

from eval.workbench.access import Person
from eval.workbench.desk import Desk
from eval.workbench.pages.compare import compare_page
from eval.workbench.pages.home import home_page, new_page
from eval.workbench.pages.review import review_page
from eval.workbench.pages.tries import try_page
from eval.workbench.pages.versions import versions_page
from eval.workbench.pages.write import write_page
from tagger.errors import TaggerError

SIGN_IN = "/signin"
PAGES = Path(__file__).parent / "pages"


def serve(desk: Desk, host: str, port: int, show: bool) -> None:
    """Answer until Ctrl-C or SIGTERM; `show` opens a browser."""
    _sign_in(desk)
    _pages(desk)
    app.on_startup(lambda: Thread(target=_warm, args=(desk,), daemon=True).start())
    app.on_shutdown(desk.trials.close)
    ui.run(
        host=host, port=port, title="tagger", language="en-US",
        reload=False, show=show, dark=None, show_welcome_message=False,
        storage_secret=secrets.token_hex(32), favicon="🏷️", reconnect_timeout=30.0, uvicorn_logging_level="warning",
    )  # fmt: skip


def _warm(desk: Desk) -> None:
    """Open the engine before somebody waits for it. Who needs it hears what is wrong with it."""
    try:
        _ = desk.trials.engine
    except TaggerError:
        return


def _pages(desk: Desk) -> None:
    def page(path: str, build: Callable[..., None]) -> None:
        @ui.page(path, title="tagger", response_timeout=30)
        def shown(request: Request, name: str = "") -> Response | None:
            person = _person(desk, request)
            if person is None:
                request.session["wanted"] = request.url.path
                return RedirectResponse(SIGN_IN)
            if name and (name not in desk.shop.tasks() or not person.may("view", name)):
                return RedirectResponse("/")
            build(desk, person, *([name] if name else []))
            return None

    page("/", home_page)
    page("/new", new_page)
    for tab, build in (("write", write_page), ("try", try_page), ("review", review_page), ("compare", compare_page),
                       ("versions", versions_page)):  # fmt: skip
        page(f"/task/{{name}}/{tab}", build)


def _sign_in(desk: Desk) -> None:
    form = Environment(loader=FileSystemLoader(PAGES), autoescape=True).get_template("signin.html.jinja")

    @app.get(SIGN_IN)
    def ask() -> HTMLResponse:
        return HTMLResponse(form.render(wrong=False))

    @app.post(SIGN_IN)
    def take(request: Request, key: Annotated[str, Form()]) -> Response:
        person = desk.access.person(key)
        if person is None:
            return HTMLResponse(form.render(wrong=True), 401)
        request.session["who"] = person.name
        desk.note(person, "signed in")
        return RedirectResponse(request.session.pop("wanted", "/"), 303)

    @app.get("/signout")
    def leave(request: Request) -> Response:
        request.session.pop("who", None)
        return RedirectResponse(SIGN_IN)


def _person(desk: Desk, request: Request) -> Person | None:
    return desk.access.named(request.session.get("who"))
