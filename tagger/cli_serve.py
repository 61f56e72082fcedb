"""Commands of the service: serve tasks, make a key."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tagger.cli_options import BlocklistFile, EngineName, ModelName, ShotsFile, err, out
from tagger.engines import open_engine
from tagger.errors import SettingsError
from tagger.keys import EVERY, Role
from tagger.task import load_task, task_names

HERE = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""

KeyFile = Annotated[
    Path | None, typer.Option("--keys", help="TOML of API keys; without one only this machine may ask.")
]


def serve(
    tasks: Annotated[list[str], typer.Option("--task", help="A shipped task or a folder; repeatable.")],
    engine: EngineName = "auto",
    model: ModelName = None,
    host: Annotated[str, typer.Option("--host")] = HERE[0],
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8000,
    keys: KeyFile = None,
    jobs: Annotated[
        Path | None, typer.Option("--jobs", help="Take whole files, too, and keep them and their tags in this folder.")
    ] = None,
    mask: Annotated[bool, typer.Option("--mask", help="Keep personal data out of prompts.")] = False,
    shots: ShotsFile = None,
    promise: Annotated[
        float | None, typer.Option("--promise", min=0.01, max=0.999, help="Share of right values, of every task.")
    ] = None,
    blocklist: BlocklistFile = None,
) -> None:
    """Serve tasks over HTTP: /v1/tag, /v1/tag:batch, /v1/jobs, /v1/tasks, /metrics; /docs describes them."""
    refuse_strangers(host, keys)
    try:
        from tagger.jobs import claim
        from tagger.keys import read_keys
        from tagger.origin import Origin
        from tagger.service import Service
        from tagger.serving import serve as answer
    except ImportError as error:
        raise SettingsError(f"the service needs {error.name}", hint="pip install 'tagger[serve]'") from None
    refuse_taken(host, port)
    if jobs:
        claim(jobs).release()  # another service there is found before a model loads
    known, loaded = read_keys(keys) if keys else None, [load_task(task) for task in tasks]
    if len({task.id for task in loaded}) < len(loaded):
        raise SettingsError("two tasks have one name", where="--task", hint="rename the folder of one of them")
    if shots and len(loaded) > 1:
        raise SettingsError("labelled rows are those of one task", where="--shots", hint="serve its task by itself")
    if mask and (seeing := [task.id for task in loaded if task.picture_columns]):
        told = f"personal data is found in texts, and task {seeing[0]} reads pictures"
        raise SettingsError(told, where="--mask", hint="serve that task by itself, without --mask")
    adapters = any(task.definition.adapter for task in loaded)
    again = (lambda: read_keys(keys)) if keys else None
    origin = Origin(tasks, lambda: open_engine(engine, model, adapters=adapters), again, shots, promise, blocklist)
    listed = origin.listed()  # a mistake in it is found before a model loads
    err.print(f"opening engine {engine} ...")
    opened = origin.open()
    service = Service({task.id: origin.tagger(task, opened, listed) for task in loaded}, known, origin, jobs, mask)
    err.print("reading what all prompts of a task share ...")
    for tagger in service.taggers.values():
        if (found := tagger.warm()).outcome in ("rejected", "failed"):
            err.print(f"[bold]task {tagger.task.id} may not answer[/]: {escape(found.reason or '')}")
    err.print(f"serving {', '.join(service.taggers)} on http://{host}:{port} (Ctrl-C stops)", highlight=False)
    answer(service, host, port)


def refuse_strangers(host: str, keys: Path | None) -> None:
    """Raise SettingsError where others reach the address and no keys are asked for."""
    if keys is None and host not in HERE:
        raise SettingsError(f"without keys whoever reaches {host} could ask", hint="give --keys, or leave out --host")


def refuse_taken(host: str, port: int) -> None:
    """Raise SettingsError where something listens already: before a model loads."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind((host, port))
        except OSError as error:
            told = f"cannot listen there: {error.strerror or error}"
            raise SettingsError(told, where=f"{host}:{port}", hint="choose another --port") from None


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    keys: Annotated[Path, typer.Option("--keys", help="The file it is added to.")] = Path("keys.toml"),
    tasks: Annotated[list[str] | None, typer.Option("--task", help="A task that it may ask; all without.")] = None,
    role: Annotated[Role, typer.Option("--role", help="What it may do in the workbench.")] = "view",
    per_minute: Annotated[
        int, typer.Option("--per-minute", min=0, help="Records that it may send a minute; 0: any number.")
    ] = 0,
    no_task: Annotated[bool, typer.Option("--no-task", help="It may ask no task: for /metrics.")] = False,
) -> None:
    """Make an API key. It is shown once; the file holds its hash."""
    from tagger.keys import Key, digest, entry, new_key, read_keys

    if keys.is_file() and name in {known.name for known in read_keys(keys).by_hash.values()}:
        raise SettingsError(f"there is a key called {name!r}", where=str(keys), hint="take another name")
    text = new_key()
    if not name.strip() or not name.isprintable() or set(name) & {'"', "\\"}:
        raise SettingsError("a key needs a name in printable characters, none of them a quotation mark", where="NAME")
    if no_task and tasks:
        raise SettingsError("a key for no task names one", where="--no-task", hint="leave out --task, or --no-task")
    for task in tasks or ():
        if task not in task_names() and not Path(task).is_dir():
            err.print(f"[bold]no task is called {escape(repr(task))}[/] among those shipped, nor a folder here")
    may = () if no_task else tuple(Path(task).name for task in tasks or ()) or (EVERY,)
    made = Key(name=name, hash=digest(text), tasks=may, per_minute=per_minute, role=role)
    with keys.open("a", encoding="utf-8") as file:
        file.write(("\n" if file.tell() else "") + entry(made))
    keys.chmod(0o600)
    out.print(text, highlight=False, soft_wrap=True)
