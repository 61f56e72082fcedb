"""A run that is killed, stopped, starved of disk or served by a dying engine ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.answers import Answers
from tagger.engines.base import Completion, Request
from tagger.errors import EngineError, SourceError
from tagger.formats import rows
from tagger.run import Progress, tag_file
from tagger.sinks import Format, shards

DRIVER = """
import resource, sys, time
from pathlib import Path
from tagger import ScriptedEngine, Tagger
from tagger.errors import TaggerError
from tagger.run import tag_file

class Slow(ScriptedEngine):
    def complete(self, requests):
        with open(sys.argv[3], "a") as log:
            log.writelines(request.prompt.record + "\\n" for request in requests)
        time.sleep(0.08)
        return super().complete(requests)

tagger = Tagger("category", engine=Slow(lambda prompt: "Tea" if "tea" in prompt.record else "Coffee"))
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
print("begun", flush=True)
try:
    done = tag_file(tagger, Path(sys.argv[1]), Path(sys.argv[2]), form="jsonl", shard=150)
except TaggerError as error:
    sys.exit(str(error))
print("finished" if done.finished else "stopped")
"""


def driven(source: Path, out: Path, log: Path, *more: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", DRIVER, *map(str, (source, out, log)), *more]
    found = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert found.stdout
    assert found.stdout.readline() == "begun\n"
    return found


def output(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in [*shards(folder), folder / "_manifest.json"]}


@pytest.fixture
def drinks(tmp_path: Path) -> Path:
    """1,500 rows: some twice, some broken."""
    rows = [json.dumps({"id": f"p{i}", "title": f"{'tea' if i % 3 else 'ground'} no {i % 1200}"}) for i in range(1500)]
    rows[700], rows[1499] = '{"title": "broken', rows[0]
    (tmp_path / "drinks.jsonl").write_text("\n".join(rows), "utf-8")
    return tmp_path / "drinks.jsonl"


def test_killed_at_twenty_moments_it_ends_with_the_same_bytes(drinks: Path, tmp_path: Path) -> None:
    assert driven(drinks, tmp_path / "once", tmp_path / "once.log").communicate()[0] == "finished\n"
    draw, log = random.Random(0), tmp_path / "killed.log"

    unfinished = 0
    for _ in range(20):
        process = driven(drinks, tmp_path / "killed", log)
        time.sleep(draw.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        unfinished += not (tmp_path / "killed" / "_manifest.json").exists()
    assert driven(drinks, tmp_path / "killed", log).communicate()[0] == "finished\n"

    assert unfinished >= 10
    assert output(tmp_path / "killed") == output(tmp_path / "once")
    asked = log.read_text("utf-8").splitlines()
    assert len(set(asked)) == len((tmp_path / "once.log").read_text("utf-8").splitlines()) == 1199
    assert len(asked) - len(set(asked)) <= 20 * 2 * 150  # of each kill the batches that were being asked


def test_a_disk_that_is_full_loses_nothing(drinks: Path, tmp_path: Path) -> None:
    driven(drinks, tmp_path / "once", tmp_path / "once.log").communicate()

    process = driven(drinks, tmp_path / "full", tmp_path / "full.log", "90000")
    told = process.communicate()[1]

    assert process.returncode == 1
    assert "cannot" in told
    assert "free some space" in told
    assert "Traceback" not in told
    assert driven(drinks, tmp_path / "full", tmp_path / "full.log").communicate()[0] == "finished\n"
    assert output(tmp_path / "full") == output(tmp_path / "once")


def tagged(source: Path, out: Path, engine: ScriptedEngine | None = None, **options: Any) -> Progress:
    return tag_file(Tagger("category", engine=engine or ScriptedEngine()), source, out, **options)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in shards(folder) for line in path.read_text("utf-8").splitlines()]


def test_equal_records_are_asked_once_and_a_second_run_asks_for_what_is_new(drinks: Path, tmp_path: Path) -> None:
    first = tagged(drinks, tmp_path / "out", shard=200)
    again = tagged(drinks, tmp_path / "out", shard=200)
    drinks.write_text(drinks.read_text("utf-8").replace('tea no 7"', 'tea no 7, new"'), "utf-8")
    changed = tagged(drinks, tmp_path / "out", shard=200)

    assert first.asked == 1199
    assert (first.rows, first.outcomes) == (1500, {"tagged": 1498, "rejected": 2})
    assert (again.asked, again.outcomes) == (0, first.outcomes)
    assert changed.asked == 1
    facts = json.loads((tmp_path / "out" / "_manifest.json").read_text("utf-8"))
    assert (facts["run"], facts["asked"], facts["rows"]) == (2, 1, 1500)


def test_one_row_in_a_hundred_changed_costs_no_more_than_that(tmp_path: Path) -> None:
    rows = [{"id": str(i), "title": f"Loose leaf tea, blend no {i}"} for i in range(1000)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    first = tagged(tmp_path / "in.jsonl", tmp_path / "out")
    for row in rows[::100]:
        row["title"] += ", new"
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")

    second = tagged(tmp_path / "in.jsonl", tmp_path / "out")

    assert second.asked == 10
    assert second.tokens["read"] <= 0.03 * first.tokens["read"]


def test_fewer_rows_leave_no_old_shard_behind(drinks: Path, tmp_path: Path) -> None:
    tagged(drinks, tmp_path / "out", shard=200)

    tagged(drinks, tmp_path / "out", shard=200, limit=300)

    assert [len(path.read_text("utf-8").splitlines()) for path in shards(tmp_path / "out")] == [200, 100]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_silent_row_says_why_in_any_format_and_one_answered_before_there_were_reasons_goes_out_without(
    shop: Path, tmp_path: Path, form: Format
) -> None:
    field = '[fields.kind]\nkind = "label"\nlabels = ["tea", "coffee"]\nabstain_below = 0.7\n'
    (shop / "task.toml").write_text(f'about = "a shop"\n[columns.title]\n{field}', "utf-8")
    (shop / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["kind"]\n[shots]\nprior = 0\n', "utf-8")
    (shop / "examples.jsonl").unlink()
    (tmp_path / "in.jsonl").write_text('{"title": "x"}\n', "utf-8")
    tagger, out = Tagger(shop, engine=ScriptedEngine(lambda _: {"tea": 0.6, "coffee": 0.4})), tmp_path / "out"

    tag_file(tagger, tmp_path / "in.jsonl", out, form=form)
    now = [row["reason"] for row in rows(shards(out)[0])]
    with sqlite3.connect(out / "_answers.sqlite") as file:
        file.execute("UPDATE answers SET answer = json_remove(answer, '$.reason')")
        file.execute("DELETE FROM shards")
    again = tag_file(tagger, tmp_path / "in.jsonl", out, form=form)

    assert now == ["kind: 'tea' has 0.60, below the 0.70 that is asked of it"]
    assert (again.asked, again.outcomes) == (0, {"abstained": 1})
    assert not next(iter(rows(shards(out)[0]))).get("reason")


def test_a_folder_of_another_run_is_refused(drinks: Path, tmp_path: Path) -> None:
    tagged(drinks, tmp_path / "out", limit=5)
    before = output(tmp_path / "out")

    with pytest.raises(SourceError, match=r"another task: category, now zh_category(.|\n)*choose another --out"):
        tag_file(Tagger("zh_category", engine=ScriptedEngine()), drinks, tmp_path / "out", mapping={"text": "title"})

    assert output(tmp_path / "out") == before


def test_the_output_may_not_lie_among_what_is_read(drinks: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="among the files that are read"):
        tagged(tmp_path, tmp_path / "out")


def test_what_is_not_of_the_run_stays(drinks: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tags-2024-old.csv").write_text("mine", "utf-8")

    tagged(drinks, tmp_path / "out", limit=10)

    assert (tmp_path / "out" / "tags-2024-old.csv").read_text("utf-8") == "mine"


def test_a_damaged_file_of_answers_is_said_plainly(drinks: Path, tmp_path: Path) -> None:
    tagged(drinks, tmp_path / "out", limit=10)
    (tmp_path / "out" / "_answers.sqlite").write_bytes(b"no database" * 1000)

    with pytest.raises(SourceError, match=r"not a database(.|\n)*the file is damaged"):
        tagged(drinks, tmp_path / "out")


def test_a_name_that_is_no_text_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"title": "tea"}\n{"\\ud800": "x"}\n', "utf-8")
    with open(os.fsencode(tmp_path / "in") + b"/\xb2\xe8.jsonl", "w") as file:
        file.write('{"title": "coffee"}')

    done = tagged(tmp_path / "in", tmp_path / "out", form="parquet")

    assert done.outcomes == {"tagged": 2, "rejected": 1}


def test_two_runs_do_not_write_into_one_folder(drinks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.answers.PATIENCE", 0.0)
    process = driven(drinks, tmp_path / "out", tmp_path / "log")

    time.sleep(0.1)
    with pytest.raises(SourceError, match="another run writes there now"):
        tagged(drinks, tmp_path / "out")

    process.communicate()


def test_a_stop_ends_it_after_a_batch(drinks: Path, tmp_path: Path) -> None:
    engine, told = ScriptedEngine(), [False]

    def stop_soon(done: Progress) -> None:
        told[0] = done.asked >= 64

    stopped = tagged(drinks, tmp_path / "out", engine, progress=stop_soon, stop=lambda: told[0])
    after = tagged(drinks, tmp_path / "out")

    assert (stopped.finished, stopped.rows) == (False, 0)
    assert 64 <= stopped.asked == len(engine.history) < 1199  # what was being asked is kept
    assert (after.finished, after.asked) == (True, 1199 - stopped.asked)


def folder_of(tmp_path: Path, *tables: pa.Table) -> Path:
    source = tmp_path / "catalogue"
    (source / "deeper").mkdir(parents=True)
    (source / "_notes.jsonl").write_text("not a row", "utf-8")
    for number, table in enumerate(tables):
        pq.write_table(table, source / ("deeper" if number == 1 else "") / f"part-{number}.parquet")
    return source


def titles(*names: str, column: str = "title") -> pa.Table:
    return pa.table({column: list(names), "price": [1.5] * len(names)})


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_folder_is_one_catalogue(tmp_path: Path, form: Format) -> None:
    source = folder_of(tmp_path, titles("a", "b"), titles("c"), titles("d"))

    done = tagged(source, tmp_path / "out", form=form, shard=3)

    assert done.outcomes == {"tagged": 4}
    assert len(shards(tmp_path / "out")) == 2
    if form == "jsonl":
        assert [line["id"] for line in lines(tmp_path / "out")] == [
            "deeper/part-1.parquet:1", "part-0.parquet:1", "part-0.parquet:2", "part-2.parquet:1",
        ]  # fmt: skip


def test_a_broken_file_or_another_schema_costs_a_folder_nothing_else(tmp_path: Path) -> None:
    source = folder_of(tmp_path, titles("a"), titles("b", column="what"), titles("c"), titles("d"))
    whole = (source / "part-2.parquet").read_bytes()
    (source / "part-2.parquet").write_bytes(whole[: len(whole) // 2])

    done = tagged(source, tmp_path / "out")

    assert done.outcomes == {"tagged": 2, "rejected": 2}
    assert done.unread == ["deeper/part-1.parquet", "part-2.parquet"]
    reasons = [line["reason"] for line in lines(tmp_path / "out") if line["outcome"] == "rejected"]
    assert "no column 'title'" in reasons[0]
    assert "not a Parquet file" in reasons[1]

    (source / "part-2.parquet").write_bytes(whole)
    mended = tagged(source, tmp_path / "out")
    assert (mended.asked, mended.outcomes) == (1, {"tagged": 3, "rejected": 1})


def test_a_folder_without_anything_to_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "blank").mkdir()
    (tmp_path / "blank" / "a.jsonl").write_text("", "utf-8")
    with pytest.raises(SourceError, match="no file holds any rows"):
        tagged(tmp_path / "blank", tmp_path / "out")
    source = folder_of(tmp_path, titles("a", column="what"))
    (tmp_path / "empty").mkdir()

    with pytest.raises(SourceError, match="no file can be read"):
        tagged(source, tmp_path / "out")
    with pytest.raises(SourceError, match="the folder holds no"):
        tagged(tmp_path / "empty", tmp_path / "out")


class Mortal(ScriptedEngine):
    """Dies of some records, and the first time it is asked at all."""

    deaths = 0

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        texts = [request.prompt.record for request in requests]
        if any("poison" in text for text in texts) or (type(self).deaths == 0 and "banana" not in texts):
            type(self).deaths += 1
            raise EngineError("out of memory")
        return super().complete(requests)


def test_a_dying_engine_is_brought_back_and_what_kills_it_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"title": f"{'poison' if i in (3, 40) else 'tea'} {i}"} for i in range(64)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    monkeypatch.setattr("tagger.pipeline.open_engine", lambda *_, **__: Mortal())
    monkeypatch.setattr(Mortal, "deaths", 0)

    done = tag_file(Tagger("category", engine="scripted"), tmp_path / "in.jsonl", tmp_path / "out")

    assert done.outcomes == {"tagged": 62, "rejected": 2}
    assert Answers(tmp_path / "out").forget("rejected") == 2
    again = tag_file(Tagger("category", engine="scripted"), tmp_path / "in.jsonl", tmp_path / "out")
    assert (again.asked, again.outcomes) == (2, done.outcomes)
    assert [line["id"] for line in lines(tmp_path / "out") if line["outcome"] == "rejected"] == [
        "in.jsonl:4",
        "in.jsonl:41",
    ]
    assert "the engine dies of it: out of memory" in lines(tmp_path / "out")[3]["reason"]


def test_an_engine_that_cannot_be_brought_back_ends_the_run(drinks: Path, tmp_path: Path) -> None:
    class Dead(ScriptedEngine):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            raise EngineError("gone")

    with pytest.raises(EngineError, match="gone"):
        tagged(drinks, tmp_path / "out", Dead())

    assert tagged(drinks, tmp_path / "out").outcomes["tagged"] == 1498


def test_what_failed_is_asked_again(drinks: Path, tmp_path: Path) -> None:
    class Absent(ScriptedEngine):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            return [Completion("no server", "error") for _ in requests]

    assert tagged(drinks, tmp_path / "out", Absent()).outcomes == {"failed": 1498, "rejected": 2}

    assert tagged(drinks, tmp_path / "out").outcomes == {"tagged": 1498, "rejected": 2}


def test_a_cluster_gives_the_same_bytes_and_goes_on_after_a_kill(drinks: Path, tmp_path: Path) -> None:
    drinks.write_text("\n".join(json.dumps({"title": f"tea no {i % 9000}"}) for i in range(10_000)), "utf-8")
    command = [sys.executable, "-m", "tagger", "tag", str(drinks), "--task", "category", "--engine", "scripted"]

    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "ray"), "--on", "local"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and not _answers(tmp_path / "ray"):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    kept = _answers(tmp_path / "ray")
    again, once = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        for more in (["--out", str(tmp_path / "ray"), "--on", "local"], ["--out", str(tmp_path / "once")])
    )

    assert kept
    assert again.returncode == 0, again.stderr
    assert f"{9000 - kept:,} records asked" in again.stdout
    assert [path.read_bytes() for path in shards(tmp_path / "ray")] == [
        path.read_bytes() for path in shards(tmp_path / "once")
    ]
    assert once.returncode == 0


def test_a_cluster_that_is_not_there_is_an_error(drinks: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tagger", "tag", str(drinks), "--task", "category", "--engine", "scripted", "--out",
         str(tmp_path / "out"), "--on", "127.0.0.1:9"], capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    assert done.returncode == 2, done.stderr
    assert "no Ray cluster at '127.0.0.1:9'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.model
def test_a_real_engine_that_is_killed_answers_every_row_once(tmp_path: Path) -> None:
    rows = [json.dumps({"id": f"p{i}", "title": f"Loose leaf tea no {i}"}) for i in range(150)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows), "utf-8")
    command = [sys.executable, "-m", "tagger", "tag", str(tmp_path / "in.jsonl"), "--task", "category",
               "--out", str(tmp_path / "out"), "--model", "smollm2-135m-instruct"]  # fmt: skip

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not _answers(tmp_path / "out"):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = _answers(tmp_path / "out")
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert kept
    assert f"{150 - kept} records asked" in done.stdout
    assert [line["id"] for line in lines(tmp_path / "out")] == [f"p{i}" for i in range(150)]


def _answers(folder: Path) -> int:
    import sqlite3

    if not (folder / "_answers.sqlite").is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{folder / '_answers.sqlite'}?mode=ro", uri=True) as file:
            return int(file.execute("SELECT COUNT(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
