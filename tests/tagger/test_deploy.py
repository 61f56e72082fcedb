"""Deployment files: they say what the service does, ask it what it tells, and hold no secret."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import promql_parser
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

import tagger
from tagger import ScriptedEngine, Tag, Tagger, Tagging
from tagger.cli import app
from tagger.keys import new_key
from tagger.result import Tokens
from tagger.server import AskMany, create_app
from tagger.service import Service

DEPLOY = Path(tagger.__file__).parent / "deploy"
FILES = sorted(path.name for path in DEPLOY.iterdir())
NOT_EXPORTED = {"up": {"instance", "job"}, "tagger_drift": {"instance", "job", "task", "field", "kind"}}
"""Of Prometheus itself, and of a comparison with a baseline: metric -> its labels."""


def text(name: str) -> str:
    return (DEPLOY / name).read_text("utf-8")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return found


def kubernetes() -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all(text("kubernetes.yaml"))}


def pod() -> dict[str, Any]:
    found: dict[str, Any] = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    return found


def instructions() -> list[tuple[str, str]]:
    """The Containerfile: (instruction, what follows)."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text("Containerfile"))).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line]


def commands() -> list[list[str]]:
    """What `tagger` is started with, wherever it is."""
    (built,) = [json.loads(rest) for name, rest in instructions() if name == "CMD"]
    services = [s["command"] for s in compose()["services"].values() if s["image"].startswith("tagger:")]
    return [built, *services, pod()["containers"][0]["args"]]


@pytest.fixture(scope="module")
def service() -> Service:
    """A service that has tagged, kept silent and answered a request."""
    found = Service({"category": Tagger("category", engine=ScriptedEngine())})
    made = found.taggers["category"].provenance
    tag = Tag(None, 0.4, abstained=True)
    found.meters.tagging("category", Tagging("1", "abstained", {"category": tag}, made, None, Tokens(9, 5, 1)))
    found.meters.batch("category", [0.1], 0.2)
    found.meters.request("/v1/tag", 200)
    return found


@pytest.fixture(scope="module")
def exported(service: Service) -> dict[str, set[str]]:
    """Every metric that can be asked for, with its labels."""
    found = {name: set(labels) for name, labels in NOT_EXPORTED.items()}
    for family in text_string_to_metric_families(service.meters.text(3).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    for group in yaml.safe_load(text("alerts.yaml"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in json.loads(text("grafana.json"))["panels"]:
        yield from (target["expr"].replace("$__rate_interval", "5m") for target in panel["targets"])


def selectors(expression: str) -> list[Any]:
    """What an expression reads; ValueError if it is none."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), visit, None)
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_file_parses_and_says_first_what_it_is_for(name: str) -> None:
    if name.endswith(".json"):
        assert json.loads(text(name))["description"]
        return
    if name.endswith(".yaml"):
        assert all(yaml.safe_load_all(text(name)))
    assert text(name).startswith("# ")


def test_kubernetes_knows_all_that_stands_in_its_file() -> None:
    own = [document for document in yaml.safe_load_all(text("kubernetes.yaml")) if document["kind"] != "PodMonitor"]

    assert len(own) == 6  # a PodMonitor is the Prometheus Operator's
    for document in own:
        kubernetes_validate.validate(document, "1.37", strict=True)
    own[1]["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolice"):
        kubernetes_validate.validate(own[1], "1.37", strict=True)


def test_every_metric_and_label_that_is_asked_for_is_exported(exported: dict[str, set[str]]) -> None:
    asked = [(found.name, {m.name for m in found.matchers.matchers}) for e in expressions() for found in selectors(e)]

    assert {name for name, _ in asked} - set(exported) == set()
    assert [(name, labels) for name, labels in asked if labels - exported[name]] == []


def test_every_sum_is_by_labels_that_there_are(exported: dict[str, set[str]]) -> None:
    for expression in expressions():
        known = set().union(*(exported[found.name] for found in selectors(expression)))
        by = re.findall(r"(?:by|on) \(([^)]*)\)", expression)

        assert {label.strip() for labels in by for label in labels.split(",")} <= known, expression


def test_what_a_summary_names_is_what_its_alert_is_about(exported: dict[str, set[str]]) -> None:
    for group in yaml.safe_load(text("alerts.yaml"))["groups"]:
        for rule in group["rules"]:
            named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
            left = rule["expr"].split(" unless ")[0]
            by = re.search(r"by \(([^)]*)\)", left)

            kept = set(by[1].split(", ")) if by else exported[selectors(left)[0].name]
            assert named <= kept, rule["alert"]


def test_every_command_is_one_that_serve_takes() -> None:
    found = commands()

    assert len(found) == 4
    for command in found:
        done = CliRunner().invoke(app, [*command, "--help"])
        assert done.exit_code == 0, done.output


def test_ports_agree(service: Service) -> None:
    (port,) = {int(rest) for name, rest in instructions() if name == "EXPOSE"}
    (check,) = [rest for name, rest in instructions() if name == "HEALTHCHECK"]
    services, kinds = compose()["services"], kubernetes()
    own = [s for s in services.values() if s["image"].startswith("tagger:")]
    (job,) = yaml.safe_load(text("prometheus.yaml"))["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    (http,) = pod()["containers"][0]["ports"]

    assert {re.search(r"--port[= ](\d+)", " ".join(command))[1] for command in commands()} == {str(port)}  # type: ignore[index]
    assert f"127.0.0.1:{port}/healthz" in check
    assert [s["ports"] for s in own] == [[f"{port}:{port}"]] * 2
    assert {f"{alias}:{port}" for s in own for alias in s["networks"]["default"]["aliases"]} == {target}
    assert (http["name"], http["containerPort"], kinds["Service"]["spec"]["ports"][0]["port"]) == ("http", port, port)
    assert kinds["NetworkPolicy"]["spec"]["ingress"][0]["ports"] == [{"port": port, "protocol": "TCP"}]


def test_the_service_asks_servers_that_there_are() -> None:
    services = compose()["services"]
    (model,) = [arg.removeprefix("--model=") for arg in services["tagger-gpu"]["command"] if "--model" in arg]
    name, url = re.fullmatch(r"(.+)@\$\{URLS:-(.+)\}", model).groups()  # type: ignore[union-attr]
    told = re.findall(r"http://vllm[^ ,]*", text("compose.yaml").split("\nname:")[0])

    for at in map(urlsplit, [url, *told]):
        command = services[at.hostname]["command"]
        assert command[0] == name
        assert (f"--port={at.port}" in command, at.path) == (True, "/v1")
        (config,) = [json.loads(arg.split("=", 1)[1]) for arg in command if "structured-outputs" in arg]
        assert (config["backend"], "--enable-prefix-caching" in command) == ("xgrammar", True)


def test_probes_and_scrapes_ask_routes_that_there_are(service: Service) -> None:
    routes = {getattr(route, "path", "") for route in create_app(service).routes}
    container = pod()["containers"][0]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    scrapes = {yaml.safe_load(text("prometheus.yaml"))["scrape_configs"][0]["metrics_path"]}
    scrapes |= {end["path"] for end in kubernetes()["PodMonitor"]["spec"]["podMetricsEndpoints"]}

    assert probes == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert {*probes.values(), *scrapes} <= routes


def test_nothing_runs_as_root_or_writes_into_its_image() -> None:
    (user,) = [rest for name, rest in instructions() if name == "USER"]
    container, services = pod()["containers"][0], compose()["services"]
    own = [s for s in services.values() if s["image"].startswith("tagger:")]

    assert all(int(s["user"].split(":")[0]) > 0 and s["cap_drop"] == ["ALL"] for s in services.values())
    assert [(s["user"], s["read_only"]) for s in own] == [(user, True)] * 2
    assert user == f"{pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}" != "0:0"
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/cache", "/tmp"}


def test_images_have_versions() -> None:
    (base,) = [rest for name, rest in instructions() if name == "ARG" and rest.startswith("BASE=")]

    for image in [base, *(s["image"] for s in compose()["services"].values())]:
        assert re.search(r":(v?\d+\.\d+\.\d+|cpu$|http$)", image), image


@pytest.mark.parametrize("name", FILES)
def test_no_secret_stands_in_a_file(name: str) -> None:
    looks = re.compile(
        r"tg_[\w-]{20,}|\b[0-9a-f]{64}\b|\bhf_\w{20,}|BEGIN [A-Z ]*KEY|(?i:password|\btoken|api_key)\s*[:=]"
    )

    assert looks.search(new_key())
    assert not looks.search(text(name))


def test_keys_come_as_files_from_outside() -> None:
    copied = {part for name, rest in instructions() if name in ("COPY", "ADD") for part in rest.split()[:-1]}
    mounted = {f"/run/secrets/{s['target']}" for c in compose()["services"].values() for s in c.get("secrets", [])}
    (job,) = yaml.safe_load(text("prometheus.yaml"))["scrape_configs"]
    places = {mount["name"]: mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"]}

    assert copied == {"pyproject.toml", "README.md", "LICENSE", "prompts", "eval", "finetune", "tagger"}
    assert mounted == {"/run/secrets/keys.toml", job["authorization"]["credentials_file"]}
    assert f"--keys={places['keys']}/keys.toml" in pod()["containers"][0]["args"]
    assert pod()["volumes"][0] == {"name": "keys", "secret": {"secretName": "tagger-keys", "defaultMode": 0o440}}


def test_keys_that_the_files_have_made_are_not_committed() -> None:
    ignored = (DEPLOY.parents[1] / ".gitignore").read_text("utf-8").splitlines()
    made = re.findall(r"tagger key .*> (\S+)", text("compose.yaml") + text("kubernetes.yaml"))

    assert made == ["metrics.key"] * 2
    assert {"/keys.toml", "/metrics.key"} <= set(ignored)
    assert "--task none" not in text("compose.yaml") + text("kubernetes.yaml") + text("prometheus.yaml")


def test_what_is_a_comment_until_it_is_wanted_fits_together() -> None:
    marked = r"(?m)^( +)# (?=- |jobs:)"
    services, kinds = (re.sub(marked, r"\1", text(f"{name}.yaml")) for name in ("compose", "kubernetes"))
    whole = yaml.safe_load(services)
    own = [s for s in whole["services"].values() if s["image"].startswith("tagger:")]
    found = {document["kind"]: document for document in yaml.safe_load_all(kinds)}
    spec = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    egress = found["NetworkPolicy"]["spec"]["egress"][0]["ports"]

    for command in (*(s["command"] for s in own), container["args"]):
        assert {"--jobs=/jobs", "--task=/tasks/mine"} <= set(command)
    for service in own:
        assert {volume.split(":")[1] for volume in service["volumes"]} == {"/cache", "/jobs", "/tasks/mine"}
    assert "jobs" in whole["volumes"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/jobs", "/tasks/mine"}
    assert {m["name"] for m in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert {"port": 4318, "protocol": "TCP"} in egress
    assert any("/jobs" in rest for name, rest in instructions() if name == "RUN")


def test_failed_jobs_and_refused_changes_raise_an_alert(exported: dict[str, set[str]]) -> None:
    asked = {found.name for expression in expressions() for found in selectors(expression)}

    assert {"tagger_failed_jobs", "tagger_reloads_total"} <= asked & set(exported)


def test_replicas_follow_a_metric_that_is_exported(exported: dict[str, set[str]]) -> None:
    (metric,) = kubernetes()["HorizontalPodAutoscaler"]["spec"]["metrics"]
    (rule,) = yaml.safe_load(text("adapter.yaml"))["rules"]["custom"]
    asked = metric["pods"]["metric"]["name"]

    assert (metric["type"], rule["name"]["as"]) == ("Pods", asked)
    assert rule["seriesQuery"].split("{")[0] == asked
    assert asked in exported


def test_what_was_sent_is_answered_before_a_stop_and_alerts_come_before_refusals(service: Service) -> None:
    (longest,) = [limit.le for limit in AskMany.model_fields["seconds"].metadata if hasattr(limit, "le")]
    (full,) = [e for e in expressions() if e.startswith("tagger_waiting_records >")]

    assert pod()["terminationGracePeriodSeconds"] > longest
    assert {s["stop_grace_period"] for s in compose()["services"].values() if "stop_grace_period" in s} == {"11m"}
    assert longest < 11 * 60
    assert float(full.split(">")[1]) < service.most_waiting


def test_panels_lie_beside_each_other_and_ask_one_source() -> None:
    board = json.loads(text("grafana.json"))
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in board["panels"]]

    assert len(set(places)) == len(places) == len({panel["id"] for panel in board["panels"]})
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${datasource}"}
    assert {v["name"] for v in board["templating"]["list"]} == {"datasource", "instance", "task"}


def test_all_that_an_image_installs_is_pinned_as_the_project_wants_it() -> None:
    pinned = dict(line.split("==") for line in text("constraints.txt").splitlines() if not line.startswith("#"))
    extras = tomllib.loads((DEPLOY.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*extras["dependencies"], *(r for e in ("cpu", "serve") for r in extras["optional-dependencies"][e])]

    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
