"""Metrics and health signals over HTTP: who may read them, and what a limited scope shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from include.operations.metrics import METRICS
from include.operations.signals import SIGNALS
from tests.gateway.api.conftest import Api, read_body, read_problem
from tests.operations.records import record_day, record_dead_letter


@pytest.mark.parametrize("path", ["/metrics", "/health"])
def test_a_stranger_and_another_scope_read_nothing(api: Api, make_key: Callable[..., str], path: str) -> None:
    read_problem(api.http.get(path), 401)
    read_problem(api.http.get(path, headers={"X-API-Key": make_key(scopes=["status:read"])}), 403)
    assert api.http.get(path, headers={"X-API-Key": make_key(scopes=["metrics:read"])}).status_code == 200


def test_metrics_are_in_the_text_format_of_prometheus(api: Api, make_key: Callable[..., str]) -> None:
    record_day(api.database)
    response = api.http.get("/metrics", headers={"Authorization": f"Bearer {make_key(scopes=['metrics:read'])}"})
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(response.text))
    assert {family.name for family in families} >= {metric.name for metric in METRICS}
    [clients] = [each for family in families for each in family.samples if each.labels == {"vendor": "orion", "table": "clients"}
                 and each.name == "tributary_table_dead_letters"]  # fmt: skip
    assert clients.value == 0


def test_a_key_of_one_vendor_reads_only_its_metrics(api: Api, make_key: Callable[..., str]) -> None:
    record_day(api.database)
    record_day(api.database, vendor="tamarac", run="run-2")
    key = make_key(scopes=["metrics:read:tamarac"])
    samples = [
        each
        for family in text_string_to_metric_families(api.http.get("/metrics", headers={"X-API-Key": key}).text)
        for each in family.samples
    ]
    assert {each.labels.get("vendor") for each in samples} == {"tamarac"}


def test_health_has_one_light_and_every_signal(api: Api) -> None:
    record_day(api.database)
    record_dead_letter(api.database)
    body = read_body(api.get("/health"), 200)
    assert {each["name"] for each in body["signals"]} == {signal.name for signal in SIGNALS}
    dead = next(
        each
        for each in body["signals"]
        if each["labels"] == {"vendor": "orion", "table": "assets"} and each["name"] == "dead_letters"
    )
    assert (dead["light"], dead["value"], dead["amber_above"]) == ("amber", 1, 0)
    assert body["light"] in ("amber", "red")
