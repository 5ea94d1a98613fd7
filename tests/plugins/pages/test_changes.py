"""What users change on the Operations pages: subscribers, keys, days and thresholds; and who may not."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
import requests

from include.gateway.api import keys
from include.warehouse import schema
from local import airflow
from tests.operations.records import DAY
from tests.plugins.pages.operations_pages import DAY_PAGE, SCRIPT, Served

pytestmark = pytest.mark.airflow


def test_subscribers_are_re_enabled_and_served_again_by_the_dag(served: Served) -> None:
    page = served.get("lists/subscribers", served.viewer).text
    buttons = re.findall(r'data-dag="deliver_events" data-conf="([^"]*)"', page)
    confs = [json.loads(unescape(each)) for each in buttons]
    assert [{name: value for name, value in conf.items() if name != "subscriber"} for conf in confs] == [
        {"enable": True},
        {"replay_dead": True},
    ]


def test_an_administrator_creates_rotates_and_revokes_a_key(served: Served) -> None:
    response = served.post(
        "api-keys/create", served.admin, caller="boomi", scopes=["status:read", "runs:write"], target="orion", days=30
    )
    first = _find_key(response)
    rotated = served.post("api-keys/rotate", served.admin, caller="boomi", overlap_hours=0)
    assert "valid for 90 days" in rotated.text
    second = _find_key(rotated)
    engine = schema.engine(served.database.url("tributary_api"))
    assert keys.find(engine, first) is None
    assert keys.find(engine, second) == keys.Grant("boomi", ("runs:write:orion", "status:read:orion"))
    assert served.post("api-keys/revoke", served.admin, key_id=second.split("_")[1]).status_code == 303
    assert keys.find(engine, second) is None
    engine.dispose()

    entries = served.database.rows("select * from control.audit where action like 'api_key.%' order by entry_id")
    assert [(each["actor"], each["action"]) for each in entries] == [
        (airflow.USER, f"api_key.{done}") for done in ("created", "created", "changed", "changed")
    ]
    assert [
        secret
        for key in (first, second)
        if (secret := key.split("_", 2)[2]) in str(entries) + served.get("lists/api-keys", served.admin).text
    ] == []


def _find_key(response: requests.Response) -> str:
    assert response.status_code == 200
    assert response.headers["cache-control"] == "private, no-store"
    match = re.search(r"trb_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", response.text)
    assert match
    return match[0]


@pytest.mark.parametrize(
    "form", [{"caller": "a b", "scopes": "runs:write"}, {"caller": "a"}, {"caller": "a", "scopes": "runs:all"}]
)
def test_a_key_that_can_not_be_meant_so_is_refused_with_the_reason(served: Served, form: dict[str, str]) -> None:
    response = served.post("api-keys/create", served.admin, **form)
    assert response.status_code == 409
    assert re.search("Unknown scope|A key needs a scope|Invalid caller", response.text)


@pytest.mark.parametrize("path", ["create", "rotate", "revoke"])
def test_other_roles_and_other_sites_change_no_key(served: Served, path: str) -> None:
    refused = served.post(f"api-keys/{path}", served.viewer)
    assert refused.status_code == 403
    assert "Only users with the role Admin may do this. Nothing was changed." in refused.text
    assert served.post(f"api-keys/{path}", served.admin, "https://other.example").status_code == 403


def _sign_off(served: Served, **changed: str) -> dict[str, str]:
    seen = served.database.value("select control.fingerprint_day('orion', :day)", day=DAY)
    decision = {"decision": "signed off", "vendor": "orion", "business_date": str(DAY), "note": SCRIPT, "seen": seen}
    return decision | changed


def test_a_day_is_signed_off_on_its_page_by_the_user(served: Served) -> None:
    assert served.post_json("clients/day", _sign_off(served), served.admin, served.url).status_code == 200
    page = served.get(DAY_PAGE, served.admin).text
    assert f"Signed off by {airflow.USER}" in page
    assert SCRIPT not in page
    assert served.database.value("select count(*) from control.audit where action = 'day.signed_off'") == 1


def test_a_day_shows_what_is_not_due_in_salesforce(served: Served) -> None:
    actual = served.database.value(
        "select actual from control.reconciliation_day where vendor = 'orion' and business_date = :day and check_name = 'control total'",
        day=DAY,
    )
    served.database.do(
        "insert into control.crm_total (vendor, business_date, check_name, due, accepted, run_id)"
        " values ('orion', :day, 'control total', :due, 1, 'r')", day=DAY, due=actual - 7,
    )  # fmt: skip
    page = served.get(DAY_PAGE, served.admin).text
    served.database.do("delete from control.crm_total")
    assert '<td class="number">7</td>' in page


def test_a_refused_decision_says_why(served: Served) -> None:
    response = served.post_json("clients/day", _sign_off(served, decision="accepted"), served.admin)
    assert (response.status_code, response.json()["detail"]) == (
        409,
        "No check of the day failed, so there is nothing to accept",
    )


THRESHOLDS = {"values": {"unfunded_days": "45"}}


@pytest.mark.parametrize("path", ["clients/day", "thresholds", "thresholds/check"])
def test_a_post_from_a_page_of_another_site_is_refused(served: Served, path: str) -> None:
    body = THRESHOLDS if path.startswith("thresholds") else _sign_off(served)
    response = served.post_json(path, body, served.admin, "https://elsewhere.example")
    assert response.status_code == 403
    assert served.database.value("select count(*) from control.threshold_change") == 0


@pytest.mark.parametrize("path", ["clients/day", "thresholds"])
def test_a_viewer_can_not_decide_or_change_thresholds(served: Served, path: str) -> None:
    body = THRESHOLDS if path == "thresholds" else _sign_off(served)
    assert served.post_json(path, body, served.viewer, served.url).status_code == 403
    assert "You can read the thresholds" in served.get("thresholds", served.viewer).text


def test_thresholds_are_checked_and_saved_once(served: Served) -> None:
    invalid = served.post_json("thresholds", {"values": {"unfunded_days": "soon"}}, served.admin)
    assert (invalid.status_code, invalid.json()["detail"]) == (
        422,
        "Invalid thresholds of the business rules: unfunded_days must be a number",
    )
    checked = served.post_json("thresholds/check", THRESHOLDS, served.admin, served.url).json()
    assert checked == {"thresholds": {"unfunded_days": 45}, "changes": {"unfunded_days": {"from": 30, "to": 45}}}
    assert served.post_json("thresholds", THRESHOLDS, served.admin, served.url).status_code == 200
    overtaken = served.post_json("thresholds", {"values": {"unfunded_days": "60"}}, served.admin, served.url)
    assert overtaken.status_code == 409
    assert "Another user has changed the thresholds" in overtaken.json()["detail"]
    assert "<td>30</td><td>45</td>" in served.get("thresholds", served.viewer).text
