"""The Operations pages behind Airflow's login: who sees which, and what is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from include.operations.lists import GROUPS
from local import airflow
from local.airflow_api import AirflowApi
from tests.api_server import serve
from tests.conftest import Database
from tests.operations.records import DAY, record_check, record_day, record_dead_letter

LISTS = [listing for group in GROUPS.values() for listing in group]
OPEN = ["", "summary", "vendors/orion", "runs?run_id=run-1", *(each.path for each in LISTS if not each.is_personal)]
PERSONAL = [each.path for each in LISTS if each.is_personal]
STATIC = {"operations.css": "text/css", "operations.js": "text/javascript", "summary.js": "text/javascript"}
GROUP = "clients/dead-letter-group?" + urlencode(
    {"vendor": "orion", "table_name": "assets", "business_date": DAY, "stage": "stage", "reasons": "=HYPERLINK(1)"}
)
DAY_PAGE = f"clients/day?vendor=orion&business_date={DAY}"
OPEN += ["thresholds"]
CLIENT_PAGES = [GROUP, DAY_PAGE]
STATIC |= dict.fromkeys(["dead_letters.js", "day.js", "thresholds.js"], "text/javascript")
SCRIPT = "<script>alert('made up')</script>"

pytestmark = pytest.mark.airflow


@dataclass
class Served:
    url: str
    admin: str
    viewer: str
    database: Database

    def get(self, path: str, token: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(f"{self.url}/operations/{path}", headers=headers, timeout=60)

    def post(self, path: str, body: dict[str, Any], token: str, origin: str = "") -> requests.Response:
        """Post as a page of an origin does, with the login cookie; without an origin, as a program with a token."""
        sent = {"headers": {"Origin": origin, "Sec-Fetch-Site": "same-origin"}, "cookies": {"_token": token}}
        return requests.post(
            f"{self.url}/operations/{path}",
            json=body,
            timeout=60,
            **(sent if origin else {"headers": {"Authorization": f"Bearer {token}"}}),
        )


@pytest.fixture(scope="module")
def served(
    shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    record_day(shared_database)
    record_check(shared_database)
    record_dead_letter(shared_database, SCRIPT, reason=SCRIPT)
    record_dead_letter(shared_database, "=1+1", reason="=HYPERLINK(1)")
    connections = {
        "tributary_db": shared_database.url("tributary_web").replace("postgresql://", "postgres://"),
        "tamarac": json.dumps({"conn_type": "http", "host": "http://127.0.0.1:1"}),
    }
    roles = {airflow.USER: "admin", "looker": "viewer"}
    with serve(tmp_path_factory.mktemp("airflow"), airflow_database, connections, roles) as (url, passwords):
        admin, viewer = (AirflowApi(url, name, word).log_in() for name, word in passwords.items())
        yield Served(url, admin, viewer, shared_database)


@pytest.mark.parametrize("path", [*OPEN, *PERSONAL, *CLIENT_PAGES])
def test_without_a_login_nothing_is_shown(served: Served, path: str) -> None:
    assert served.get(path).status_code == 401


@pytest.mark.parametrize("path", OPEN)
def test_any_user_sees_counts_and_sums(served: Served, path: str) -> None:
    response = served.get(path, served.viewer)
    assert response.status_code == 200
    assert SCRIPT not in response.text


@pytest.mark.parametrize("path", [*PERSONAL, *CLIENT_PAGES])
def test_lists_of_clients_need_the_right_to_review(served: Served, path: str) -> None:
    assert served.get(path, served.viewer).status_code == 403
    assert served.get(path, served.admin).status_code == 200


@pytest.mark.parametrize("path", PERSONAL)
def test_a_list_of_clients_is_not_among_the_lists_for_all(served: Served, path: str) -> None:
    assert served.get(path.replace("clients/", "lists/"), served.viewer).status_code == 403


def test_the_audit_trail_records_who_opened_a_list_of_clients(served: Served) -> None:
    served.get("clients/breaks?vendor=orion", served.admin)
    entry = served.database.rows(
        "select * from control.audit where action = 'operations.opened' order by entry_id desc limit 1"
    )[0]
    assert (entry["actor"], entry["subject"], entry["details"]["selected"]["vendor"]) == (
        airflow.USER,
        "breaks",
        "orion",
    )


def test_text_of_vendors_is_escaped(served: Served) -> None:
    page = served.get("clients/dead-letter-rows", served.admin).text
    assert SCRIPT not in page
    assert "&lt;script&gt;alert(" in page


def test_formulas_are_neutralized_in_files(served: Served) -> None:
    response = served.get("clients/dead-letter-rows?format=csv", served.admin)
    assert response.headers["content-type"].startswith("text/csv")
    assert "'=1+1" in response.text
    assert ",=HYPERLINK" not in response.text
    assert response.text.startswith("dead_letter_id,vendor,")


def test_only_our_own_script_runs_and_only_airflow_frames_the_pages(served: Served) -> None:
    headers = served.get("", served.admin).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["cache-control"] == "private, no-store"


def test_the_style_and_the_scripts_need_no_login(served: Served) -> None:
    types = {name: served.get(f"static/{name}").headers["content-type"].partition(";")[0] for name in STATIC}
    assert types == STATIC


def test_today_shows_systems_with_data_or_a_connection(served: Served) -> None:
    titles = [card["title"] for card in served.get("summary", served.viewer).json()]
    assert titles == ["Orion Advisor", "Tamarac"]


@pytest.mark.parametrize(
    "path", ["vendors/no-such-vendor", "lists/nothing", "clients/nothing", "openapi.json", "static/../app.py"]
)
def test_what_does_not_exist_is_not_found(served: Served, path: str) -> None:
    assert served.get(path, served.admin).status_code == 404


def test_airflow_shows_the_pages_in_its_menu_on_runs_and_on_its_home_page(served: Served) -> None:
    plugins = requests.get(
        f"{served.url}/api/v2/plugins", headers={"Authorization": f"Bearer {served.admin}"}, timeout=60
    ).json()["plugins"]
    operations = next(plugin for plugin in plugins if plugin["name"] == "operations")
    places = [view["destination"] for view in operations["external_views"] + operations["react_apps"]]
    assert places == ["nav", "dag_run", "dashboard"]


def test_a_group_of_dead_letters_shows_content_as_text(served: Served) -> None:
    served.database.do(
        "insert into control.dead_letter_content (dead_letter_id, cells, run_id)"
        " select dead_letter_id, jsonb_build_array(jsonb_build_object('name', cast(:script as text), 'text', cast(:script as text),"
        " 'is_bad', true)), 'r' from control.dead_letter where row_key = '=1+1' on conflict do nothing",
        script=SCRIPT,
    )
    page = served.get(GROUP, served.admin).text
    assert SCRIPT not in page
    assert 'class="bad"><span>&lt;script&gt;' in page
    assert "Dry replay" in page


def test_the_audit_trail_records_whose_dead_letters_were_opened(served: Served) -> None:
    served.get(GROUP, served.admin)
    [entry] = served.database.rows(
        "select actor, details from control.audit where subject = 'dead-letter-group' order by entry_id desc limit 1"
    )
    shown = served.database.value("select dead_letter_id from control.dead_letter where row_key = '=1+1'")
    assert (entry["actor"], entry["details"]["dead_letters"]) == (airflow.USER, [shown])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("clients/dead-letter-group", 422),
        (GROUP.replace("orion", "no-vendor"), 404),
        (GROUP.replace(str(DAY), "soon"), 422),
        (f"clients/day?vendor=no-vendor&business_date={DAY}", 404),
    ],
)
def test_a_group_or_day_that_does_not_exist_is_refused(served: Served, path: str, status: int) -> None:
    assert served.get(path, served.admin).status_code == status


@pytest.mark.parametrize("path", CLIENT_PAGES)
def test_a_viewer_reads_why_a_page_is_refused(served: Served, path: str) -> None:
    page = served.get(path, served.viewer)
    assert page.status_code == 403
    assert "ask an administrator for the role User" in page.text
    assert 'href="../static/operations.css"' in page.text


def test_a_text_that_the_database_can_not_store_is_refused(served: Served) -> None:
    assert served.get(f"{GROUP}%00", served.admin).status_code == 422


def _sign_off(served: Served, **changed: str) -> dict[str, str]:
    seen = served.database.value("select control.fingerprint_day('orion', :day)", day=DAY)
    decision = {"decision": "signed off", "vendor": "orion", "business_date": str(DAY), "note": SCRIPT, "seen": seen}
    return decision | changed


def test_a_day_is_signed_off_on_its_page_by_the_user(served: Served) -> None:
    assert served.post("clients/day", _sign_off(served), served.admin, served.url).status_code == 200
    page = served.get(DAY_PAGE, served.admin).text
    assert f"Signed off by {airflow.USER}" in page
    assert SCRIPT not in page
    assert served.database.value("select count(*) from control.audit where action = 'day.signed_off'") == 1


def test_a_refused_decision_says_why(served: Served) -> None:
    response = served.post("clients/day", _sign_off(served, decision="accepted"), served.admin)
    assert (response.status_code, response.json()["detail"]) == (
        409,
        "No check of the day failed, so there is nothing to accept",
    )


THRESHOLDS = {"values": {"unfunded_days": "45"}}


@pytest.mark.parametrize("path", ["clients/day", "thresholds", "thresholds/check"])
def test_a_post_from_a_page_of_another_site_is_refused(served: Served, path: str) -> None:
    body = THRESHOLDS if path.startswith("thresholds") else _sign_off(served)
    response = served.post(path, body, served.admin, "https://elsewhere.example")
    assert response.status_code == 403
    assert served.database.value("select count(*) from control.threshold_change") == 0


@pytest.mark.parametrize("path", ["clients/day", "thresholds"])
def test_a_viewer_can_not_decide_or_change_thresholds(served: Served, path: str) -> None:
    body = THRESHOLDS if path == "thresholds" else _sign_off(served)
    assert served.post(path, body, served.viewer, served.url).status_code == 403
    assert "You can read the thresholds" in served.get("thresholds", served.viewer).text


def test_thresholds_are_checked_and_saved_once(served: Served) -> None:
    invalid = served.post("thresholds", {"values": {"unfunded_days": "soon"}}, served.admin)
    assert (invalid.status_code, invalid.json()["detail"]) == (
        422,
        "Invalid thresholds of the business rules: unfunded_days must be a number",
    )
    checked = served.post("thresholds/check", THRESHOLDS, served.admin, served.url).json()
    assert checked == {"thresholds": {"unfunded_days": 45}, "changes": {"unfunded_days": {"from": 30, "to": 45}}}
    assert served.post("thresholds", THRESHOLDS, served.admin, served.url).status_code == 200
    overtaken = served.post("thresholds", {"values": {"unfunded_days": "60"}}, served.admin, served.url)
    assert overtaken.status_code == 409
    assert "Another user has changed the thresholds" in overtaken.json()["detail"]
    assert "<td>30</td><td>45</td>" in served.get("thresholds", served.viewer).text
