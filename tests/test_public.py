"""What a user gets: the public names, a light import, and one wheel with everything in it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tagger

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_these() -> None:
    names = {name for name in tagger.__all__ if hasattr(tagger, name)}  # Client comes when it is asked for

    assert sorted(tagger.__all__) == tagger.__all__
    assert names == set(tagger.__all__)


def test_import_tagger_brings_no_model_library() -> None:
    code = "import sys, tagger; print([m for m in ('torch', 'transformers', 'vllm', 'outlines') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.strip() == "[]"


def test_the_wheel_ships_the_three_packages_and_the_prompts(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True)

    (wheel,) = tmp_path.glob("tagger-*.whl")
    files = zipfile.ZipFile(wheel).namelist()

    assert {file.split("/")[0] for file in files if ".dist-info" not in file} == {"tagger", "finetune", "eval"}
    for file in ("tagger/_prompts/category/task.toml", "tagger/bundles.toml", "tagger/demo/catalogue_zh.jsonl"):
        assert file in files
    assert "tagger/py.typed" in files


def test_the_readme_has_a_line_for_every_module() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    for package in ("tagger", "eval", "finetune"):
        for path in (ROOT / package).rglob("*.py"):
            if not path.name.startswith("__"):
                assert f"{path.name} " in readme, path
