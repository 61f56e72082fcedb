"""A workbench in a process of its own, on a scripted engine, and a real browser before it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SERVER = """
import sys
from pathlib import Path
from time import sleep

from eval.workbench.access import Access
from eval.workbench.app import serve
from eval.workbench.desk import Desk
from eval.workbench.shop import Shop
from eval.workbench.trial import Trials
from tagger.engines import model_folder
from tagger.engines.base import Completion
from tagger.engines.scripted import ScriptedEngine
from tagger.keys import read_keys
from tagger.settings import prepare_process
from tagger.weights import DEFAULT_CPU


def answer(prompt):
    '''Knows tea by its leaves once the instruction says that tea is leaves; else it takes all for coffee.'''
    sleep(float(sys.argv[4]))
    if "label descriptions" in prompt.head.instruction:
        return "What is drunk from a cup"
    tea = 0.9 if "leaves" in prompt.head.instruction and "leaf" in prompt.record.lower() else 0.2
    return {"Tea": tea, "Coffee": 1 - tea}


class Blind(ScriptedEngine):
    '''Sees no pictures.'''

    def complete(self, requests):
        blind = Completion("the model sees no pictures", "refused")
        return [blind if r.prompt.pictures else done for r, done in zip(requests, super().complete(requests))]


folder, port, keys = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
access = Access(read_keys(Path(keys)) if keys else None)
if sys.argv[5] == "model":
    prepare_process()


def model():
    from tagger.engines.transformers import TransformersEngine

    return TransformersEngine(model_folder(DEFAULT_CPU), DEFAULT_CPU, dtype="float32")  # the same on all machines


openings = {"": lambda: ScriptedEngine(answer), "blind": lambda: Blind(answer), "model": model}
called = "default" if sys.argv[5] == "model" else "scripted"
serve(Desk(Shop(folder), Trials(openings[sys.argv[5]]), access, called), "127.0.0.1", port, False)
"""


@dataclass
class Bench:
    """A workbench that is served."""

    folder: Path
    url: str
    process: subprocess.Popen[bytes] = field(repr=False)


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a task, `TASK` of the module that asks."""
    (tmp_path / "goods").mkdir()
    (tmp_path / "goods" / "task.toml").write_text(request.module.TASK, "utf-8")
    return tmp_path / "goods"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Serves a folder; `keys` names a file of keys, `slow` are the seconds that each answer takes, `model` asks the
    default model instead of a script, `blind` one that sees no pictures."""
    served: list[subprocess.Popen[bytes]] = []

    def serve(keys: Path | None = None, slow: float = 0.0, *, model: bool = False, blind: bool = False) -> Bench:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder = tmp_path / "shop"
        folder.mkdir(exist_ok=True)
        told = (tmp_path / "server.log").open("wb")
        asked = "model" * model + "blind" * blind
        command = [sys.executable, "-c", SERVER, str(folder), str(port), str(keys or ""), str(slow), asked]
        root = Path(__file__).parents[2]
        own = {name: text for name, text in os.environ.items() if name != "PYTEST_CURRENT_TEST"}  # NiceGUI heeds it
        place = {**own, "PYTHONPATH": str(root), "NICEGUI_STORAGE_PATH": str(tmp_path / "storage")}
        process = subprocess.Popen(command, env=place, cwd=tmp_path, stdout=told, stderr=subprocess.STDOUT)
        served.append(process)
        _await(f"http://127.0.0.1:{port}/signin", process, tmp_path / "server.log")
        return Bench(folder, f"http://127.0.0.1:{port}", process)

    yield serve
    for process in served:
        process.terminate()
        process.wait(20)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = monotonic() + 60
    while monotonic() < until:
        assert process.poll() is None, log.read_text("utf-8", "replace")
        try:
            urlopen(url, timeout=2).read()
            return
        except (URLError, OSError):
            sleep(0.2)
    raise AssertionError(f"nothing answers at {url}: {log.read_text('utf-8', 'replace')}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # two cores may have more to do
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, bench: Callable[..., Bench]) -> Iterator[Page]:
    """A page that must not complain and must not ask anybody else. It is closed before the `bench` that it shows: of
    one that is gone it would complain."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    shown = context.new_page()
    wrong: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            wrong.append(message.text)

    shown.on("console", hear)
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.on("request", lambda request: None if _own(request.url) else wrong.append(f"asked {request.url}"))
    yield shown
    context.close()
    assert wrong == []


def _own(url: str) -> bool:
    """Whether an address is the workbench's own."""
    return urlsplit(url).hostname == "127.0.0.1" or urlsplit(url).scheme in ("data", "blob")
