"""Alert rules, run by Prometheus' own tool: each fires when its trouble comes, and none on a good day."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import tagger

RULES = Path(tagger.__file__).parent / "deploy" / "alerts.yaml"
PROMTOOL = shutil.which("promtool")
AT = 'instance="a:8000", job="tagger"'
GOOD = {
    f"up{{{AT}}}": "1+0x600",
    f'tagger_requests_total{{{AT}, route="/v1/tag", status="200"}}': "0+600x600",
    f'tagger_requests_total{{{AT}, route="/v1/tag", status="503"}}': "0+6x600",
    f'tagger_records_total{{{AT}, task="t", outcome="tagged"}}': "0+600x600",
    f'tagger_records_total{{{AT}, task="t", outcome="failed"}}': "0+6x600",
    f'tagger_records_total{{{AT}, task="t", outcome="rejected"}}': "0+60x600",
    f"tagger_waiting_records{{{AT}}}": "20+0x600",
    f'tagger_wait_seconds_bucket{{{AT}, task="t", le="1"}}': "0+600x600",
    f'tagger_wait_seconds_bucket{{{AT}, task="t", le="60"}}': "0+600x600",
    f'tagger_wait_seconds_bucket{{{AT}, task="t", le="+Inf"}}': "0+600x600",
    f'tagger_batch_seconds_bucket{{{AT}, task="t", le="1"}}': "0+60x600",
    f'tagger_batch_seconds_bucket{{{AT}, task="t", le="60"}}': "0+60x600",
    f'tagger_batch_seconds_bucket{{{AT}, task="t", le="+Inf"}}': "0+60x600",
    f"tagger_failed_jobs{{{AT}}}": "0+0x600",
    f'tagger_reloads_total{{{AT}, outcome="refused"}}': "0+0x600",
    f'tagger_abstained_total{{{AT}, task="t", field="f"}}': "0+60x600",
    f'tagger_probability_count{{{AT}, task="t", field="f"}}': "0+600x600",
    f'tagger_probability_sum{{{AT}, task="t", field="f"}}': "0+540x600",
    f'tagger_drift{{{AT}, task="t", field="f", kind="labels"}}': "0.1+0x600",
}
"""Ten hours, a value a minute: series -> first value + step x times, as Prometheus' tests write them."""

TROUBLE = {
    "TaggerDown": {"up": "0+0x600"},
    "TaggerErrors": {'status="503"': "0+60x600"},
    "TaggerFailed": {'outcome="failed"': "0+60x600"},
    "TaggerStuck": {"tagger_records_total": "600+0x600"},
    "TaggerQueueFilling": {"tagger_waiting_records": "3000+0x600"},
    "TaggerWaitSlow": {f'tagger_wait_seconds_bucket{{{AT}, task="t", le="1"': "0+300x600"},
    "TaggerBatchSlow": {f'tagger_batch_seconds_bucket{{{AT}, task="t", le="1"': "0+30x600"},
    "TaggerJobsFailed": {"tagger_failed_jobs": "1+0x600"},
    "TaggerReloadRefused": {"tagger_reloads_total": "0+1x600"},
    "TaggerRejects": {'outcome="rejected"': "0+300x600"},
    "TaggerAbstains": {"tagger_abstained_total": "0+60x480 28800+240x119"},
    "TaggerConfidenceFallen": {"tagger_probability_sum": "0+540x480 259200+300x119"},
    "TaggerDrift": {"tagger_drift": "0.4+0x600"},
}
"""Alert -> what is otherwise on a bad day: part of a series' name -> its values."""


def day(trouble: dict[str, str]) -> list[dict[str, str]]:
    """The series of a day with that trouble."""
    assert all(any(part in name for name in GOOD) for part in trouble)
    return [
        {"series": name, "values": next((values for part, values in trouble.items() if part in name), good)}
        for name, good in GOOD.items()
    ]


def case(trouble: dict[str, str], firing: list[str]) -> dict[str, Any]:
    """A test as promtool reads it: which alerts fire after that day."""
    return {
        "interval": "1m",
        "input_series": day(trouble),
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "590m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing],
            }
        ],
    }


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool: apt-get install prometheus")
@pytest.mark.parametrize("alert", [None, *TROUBLE])
def test_an_alert_fires_on_its_trouble_alone(alert: str | None, tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_bytes(RULES.read_bytes())
    cases = tmp_path / "cases.yaml"
    tests = [case(TROUBLE[alert], [alert])] if alert else [case({}, [])]
    cases.write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}))

    done = subprocess.run([str(PROMTOOL), "test", "rules", str(cases)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_trouble() -> None:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]

    assert {rule["alert"] for group in groups for rule in group["rules"]} == set(TROUBLE)
