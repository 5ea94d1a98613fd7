"""The alert rules in Prometheus: generated from the thresholds of the signals, valid, and fired above each threshold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from include.operations.metrics import METRICS
from include.operations.signals import LABELS, SIGNALS, Signal
from local.alert_rules import list_rules, render

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docker/prometheus/tributary.rules.yml"
DASHBOARD = ROOT / "docker/grafana/tributary.json"
NOW_S = 1200
"""Time of the evaluation, in seconds since the start of the series. Times of older events are negative."""
EXPORTED = {metric.name for metric in METRICS} | {
    "tributary_gateway_request_seconds_count",
    "tributary_gateway_request_seconds_bucket",
}


def run_promtool(*arguments: object) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: apt-get install prometheus")
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_generated_from_the_signals() -> None:
    assert RULES.read_text() == render(), "python -m local.alert_rules > docker/prometheus/tributary.rules.yml"


def test_every_threshold_of_every_signal_has_a_rule() -> None:
    rules = [
        rule
        for rule in list_rules()
        for signal in SIGNALS
        if rule.alert == f"Tributary{signal.name.title().replace('_', '')}"
    ]
    thresholds = [each for signal in SIGNALS for each in (signal.amber, signal.red) if each is not None]
    assert len(rules) == len(thresholds)


def test_rules_are_valid() -> None:
    run_promtool("check", "rules", RULES)


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=["rules", "dashboard"])
def test_every_metric_that_is_named_is_exported(path: Path) -> None:
    names = set(re.findall(r"\btributary_\w+", path.read_text()))
    assert len(names) > 20
    assert names <= EXPORTED


def test_the_dashboard_shows_every_metric_of_a_signal() -> None:
    text = DASHBOARD.read_text()
    assert [signal.metric for signal in SIGNALS if signal.metric not in text] == []


def test_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    queries = [
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", ())
    ]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))  # JSON is YAML
    run_promtool("check", "rules", path)


def test_the_dashboard_has_no_address_and_no_password() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert "http" not in json.dumps(dashboard)
    assert dashboard["id"] is None
    queries = [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert all(panel["title"] for panel in dashboard["panels"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(target["datasource"]["uid"] == "${datasource}" for target in queries)


def test_alerts_fire_above_each_threshold_and_not_at_it(tmp_path: Path) -> None:
    tests = [_test_value(signal, *case) for signal in SIGNALS for case in _list_cases(signal)]
    tests.append(
        _test_series(
            ["up{job='tributary', instance='a'}"], [0], {"TributaryTargetDown": {"instance": "a", "job": "tributary"}}
        )
    )
    tests.append(_test_series(["up{job='tributary'}"], [1], {"TributaryTargetDown": None, "TributaryNoMetrics": {}}))
    tests.append(
        _test_series(["tributary_build_info"], [1], {"TributaryBackupMissing": {}, "TributaryNoMetrics": None})
    )
    path = tmp_path / "test.yml"
    path.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "5m", "tests": tests})
    )  # JSON is YAML
    run_promtool("test", "rules", path)


def test_a_gateway_that_fails_or_refuses_deliveries_alerts(tmp_path: Path) -> None:
    count = "tributary_gateway_request_seconds_count{{gateway='a:1', route='/webhooks/docusign', status='{}'}}"
    tests = [
        {
            "interval": "1m",
            "input_series": [
                {"series": count.format(200), "values": "0+10x120"},
                {"series": count.format(503), "values": f"0+{failed}x120"},
                {"series": count.format(401), "values": f"0+{refused}x120"},
            ],
            "alert_rule_test": [
                {
                    "eval_time": "110m",
                    "alertname": name,
                    "exp_alerts": [_expect(name, "warning", {"route": "/webhooks/docusign"})] if fires else [],
                }
                for name, fires in {"TributaryGatewayErrors": failed, "TributaryWebhooksRefused": refused}.items()
            ],
        }
        for failed, refused in ((1, 0), (0, 1))
    ]
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "5m", "tests": tests}))
    run_promtool("test", "rules", path)


def _list_cases(signal: Signal) -> list[tuple[float, str]]:
    """List values of a signal with the severity of the alert that they cause; "" for no alert."""
    bad = [(signal.amber, "warning"), (signal.red, "critical")]
    margin = 600 if signal.is_age else 0.5  # the age must have been above the threshold for some minutes
    above = [(threshold + margin, severity) for threshold, severity in bad if threshold is not None]
    [lowest, *_] = [threshold for threshold, _ in bad if threshold is not None]
    return [(lowest, ""), *above]


def _test_value(signal: Signal, value: float, severity: str) -> dict[str, Any]:
    name = f"Tributary{signal.name.title().replace('_', '')}"
    labels = {label: (signal.labels or {}).get(label, "one") for label in LABELS[signal.metric]}
    written = ", ".join(f"{label}='{text}'" for label, text in labels.items())
    expected = {label: text for label, text in labels.items() if label not in (signal.labels or {})}
    series = [f"{signal.metric}{{{written}{', ' if written else ''}instance='{gateway}'}}" for gateway in "ab"]
    values = [NOW_S - value if signal.is_age else value] * 2
    return _test_series(series, values, {name: expected if severity else None}, severity)


def _test_series(
    series: list[str], values: list[float], expected: dict[str, dict[str, str] | None], severity: str = ""
) -> dict[str, Any]:
    """Describe a test of promtool: series with constant values, and for each alert its labels, or None if it must not fire."""
    return {
        "interval": "1m",
        "input_series": [
            {"series": each, "values": f"{value:.15g}x{NOW_S // 60}"}
            for each, value in zip(series, values, strict=True)
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{NOW_S}s",
                "alertname": name,
                "exp_alerts": [] if labels is None else [_expect(name, severity, labels)],
            }
            for name, labels in expected.items()
        ],
    }


def _expect(name: str, severity: str, labels: dict[str, str]) -> dict[str, Any]:
    rules = [rule for rule in list_rules() if rule.alert == name]
    rule = next((each for each in rules if each.severity == severity), rules[0])
    summary = rule.summary
    for label, text in labels.items():
        summary = summary.replace(f"{{{{ $labels.{label} }}}}", text)
    annotations = {"summary": summary, "action": rule.action, "guide": f"docs/how-to/{rule.guide}.md"}
    return {"exp_labels": labels | {"severity": rule.severity}, "exp_annotations": annotations}
