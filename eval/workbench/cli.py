"""The command `tagger workbench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tagger.cli_options import EngineName, ModelName, err
from tagger.cli_serve import HERE, KeyFile, refuse_strangers, refuse_taken
from tagger.errors import SettingsError


def workbench(
    folder: Annotated[Path, typer.Argument(help="Where the tasks lie; made if there is none.")] = Path("workbench"),
    engine: EngineName = "auto",
    model: ModelName = None,
    host: Annotated[str, typer.Option("--host")] = HERE[0],
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8080,
    keys: KeyFile = None,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Open a browser.")] = True,
) -> None:
    """Write, try, review and compare tasks in a browser."""
    refuse_strangers(host, keys)
    try:
        from eval.workbench.access import Access
        from eval.workbench.app import serve
        from eval.workbench.desk import Desk
        from eval.workbench.shop import Shop
        from eval.workbench.trial import Trials
    except ImportError as error:
        raise SettingsError(f"the workbench needs {error.name}", hint="pip install 'tagger[workbench]'") from None
    from tagger.engines import engine_name, open_engine
    from tagger.keys import read_keys

    refuse_taken(host, port)
    folder.mkdir(parents=True, exist_ok=True)
    access = Access(read_keys(keys) if keys else None)
    desk = Desk(Shop(folder), Trials(lambda: open_engine(engine, model)), access, model or engine_name(engine))
    err.print(f"the workbench of {folder} is on http://{host}:{port} (Ctrl-C stops)", highlight=False)
    serve(desk, host, port, show)
