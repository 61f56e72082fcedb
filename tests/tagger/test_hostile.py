"""Whatever is sent to the service: no server error, nothing read, nothing executed, and every answer as described."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tagger.keys import Key, Keys, digest, new_key
from tagger.server import create_app
from tests.tagger.test_server import Slow, asked, service

KEY = new_key()
PASSWORDS = Path("/etc/passwd").read_text("utf-8").splitlines()[0]
PATHS = (
    "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd",
    "file:///etc/passwd", "....//....//etc/passwd", "..\\..\\etc\\passwd", "category%00.jsonl",
    "category/../../keys.toml", "~/.ssh/id_rsa", "C:\\Windows\\win.ini", "\\\\host\\share", "category;id",
    "category|id", "$(id)", "`id`", "%0d%0aX-Evil: 1",
)  # fmt: skip
TEMPLATES = (
    "{{ 7777 * 7777 }}", "{% include '/etc/passwd' %}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "${7777*7777}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{% for x in range(10**9) %}{% endfor %}", "<%= 7777*7777 %>", "#{7777*7777}", "{{ task.definition }}",
    "{{ config }}", "%(title)s {0.__class__}", "{% raw %}", "{{ record | attr('x') }}", "{# comment #}",
    "{{ lipsum.__globals__ }}", "{% import 'os' as os %}", "=cmd|'/c calc'!A1", "<script>alert(1)</script>",
    "'; DROP TABLE answers; --", "\u202e\u2066hidden\u2069",
)  # fmt: skip
HEADERS = ("x\r\nX-Evil: 1", "a" * 10_000, "../../etc/passwd", "{{ 7777 * 7777 }}", "\x00", "é", "'; --")


@pytest.mark.parametrize("text", PATHS)
def test_no_name_reaches_a_file(text: str, tmp_path: Path) -> None:
    with asked(service(folder=tmp_path)) as client:
        answers = [
            client.get(f"/v1/tasks/{text}"),
            client.post(f"/v1/tasks/{text}/render", json={"title": "Tea"}),
            client.get(f"/v1/jobs/{text}"),
            client.get(f"/v1/jobs/{text}/tags"),
            client.delete(f"/v1/jobs/{text}"),
            client.post("/v1/tag", json={"task": text, "record": {"title": "Tea"}}),
            client.post("/v1/jobs", params={"task": text, "form": text}, content=b"{}"),
            client.post("/v1/jobs", params={"task": "category", "form": text}, content=b'{"title": "Tea"}'),
        ]

    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.text
        assert PASSWORDS not in answer.text
    assert [path for path in tmp_path.iterdir() if path.name != ".lock"] == []


@pytest.mark.parametrize("text", TEMPLATES)
def test_product_text_is_never_a_template(text: str) -> None:
    engine = Slow()
    with asked(service(engine)) as client:
        answer = client.post("/v1/tag", json={"task": "category", "record": {"title": text, text: text}})
        (shown,) = client.post("/v1/tasks/category/render", json={"title": text}).json()

    assert answer.status_code == 200
    assert shown["messages"][-1]["content"] == text.strip() == engine.history[-1].prompt.record
    assert str(7777 * 7777) not in answer.text


@pytest.mark.parametrize("text", HEADERS)
@pytest.mark.parametrize("name", ["X-Request-ID", "Idempotency-Key", "Authorization", "Content-Type"])
def test_no_header_does_harm(name: str, text: str) -> None:
    with asked(service()) as client:
        sent = {"Content-Type": "application/json", name: text}
        headers = [(key.encode(), value.encode("latin-1", "replace")) for key, value in sent.items()]
        answer = client.post("/v1/tag", content=b'{"task": "category", "record": {"title": "Tea"}}', headers=headers)

    assert answer.status_code in (200, 422)
    assert "X-Evil" not in answer.headers
    assert "\n" not in answer.headers["X-Request-ID"]


@pytest.fixture
def api(tmp_path: Path) -> Any:
    keys = Keys({digest(KEY): Key(name="shop", hash=digest(KEY))})
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(service(folder=tmp_path, keys=keys)))


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_described(api: Any, mode: GenerationMode) -> None:
    tried = 0
    for found in api.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def answers_as_described(case: Any) -> None:
            nonlocal tried
            tried += 1
            known = {"Authorization": f"Bearer {KEY}"}
            files = [positive_data_acceptance] if case.path == "/v1/jobs" else []  # random bytes are no catalogue
            case.call_and_validate(headers=known, excluded_checks=files)

        try:
            answers_as_described()
        except (SkipTest, Unsatisfiable):  # nothing about it can be wrong
            continue
    assert tried > 100


def test_the_description_names_keys_and_every_route_has_words() -> None:
    told = create_app(service()).openapi()

    assert told["components"]["securitySchemes"] == {
        "HTTPBearer": {"type": "http", "scheme": "bearer", "description": "A key that `tagger key` has made."}
    }
    for path, methods in told["paths"].items():
        for method, route in methods.items():
            assert route.get("description"), (path, method)
    assert "examples" in told["components"]["schemas"]["Ask"]
