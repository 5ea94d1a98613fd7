"""The Operations pages behind Airflow's login: who sees which, and what is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from include.operations.lists import GROUPS
from local import airflow
from local.airflow_api import AirflowApi
from tests.api_server import serve
from tests.conftest import Database
from tests.operations.records import record_check, record_day, record_dead_letter

LISTS = [listing for group in GROUPS.values() for listing in group]
OPEN = [
    "",
    "summary",
    "vendors/orion",
    "vendors/orion/backfill?first=2026-11-20&last=2026-11-24",
    "vendors/emoney/backfill",
    "vendors/orion/ignored-fields.txt",
    "salesforce",
    "runs?run_id=run-1",
    *(each.path for each in LISTS if not each.is_personal),
]
PERSONAL = ["find-client", *(each.path for each in LISTS if each.is_personal)]
STATIC = {
    "operations.css": "text/css",
    "operations.js": "text/javascript",
    "summary.js": "text/javascript",
    "backfill.js": "text/javascript",
}
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


@pytest.mark.parametrize("path", [*OPEN, *PERSONAL])
def test_without_a_login_nothing_is_shown(served: Served, path: str) -> None:
    assert served.get(path).status_code == 401


@pytest.mark.parametrize("path", OPEN)
def test_any_user_sees_counts_and_sums(served: Served, path: str) -> None:
    response = served.get(path, served.viewer)
    assert response.status_code == 200
    assert SCRIPT not in response.text


@pytest.mark.parametrize("path", PERSONAL)
def test_lists_of_clients_need_the_right_to_review(served: Served, path: str) -> None:
    refused = served.get(path, served.viewer)
    assert refused.status_code == 403
    assert "This page shows clients. It requires the right to" in refused.text
    assert f'href="{"../" * path.count("/") or "./"}static/operations.css"' in refused.text
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


def test_the_audit_trail_records_a_search_for_a_client(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.admin}"}
    page = requests.post(f"{served.url}/operations/find-client", data={"name": "Nobody"}, headers=headers, timeout=60)
    assert "No client of these vendors has this name" in page.text
    entry = served.database.rows("select subject, details from control.audit order by entry_id desc limit 1")[0]
    assert entry == {"subject": "find-client", "details": {"records": []}}


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
