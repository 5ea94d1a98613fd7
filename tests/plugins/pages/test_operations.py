"""The Operations pages behind Airflow's login: who sees which, and what is escaped."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from include.check import report
from include.check.report import Finding
from include.gateway.api import keys
from include.operations.lists import GROUPS
from include.warehouse import schema
from local import airflow
from local.airflow_api import AirflowApi
from tests.api_server import serve
from tests.conftest import Database
from tests.operations.quality_records import load_household, record_validation
from tests.operations.records import DAY, record_check, record_day, record_dead_letter, record_event_troubles

SCRIPT = "<script>alert('made up')</script>"
LISTS = [listing for group in GROUPS.values() for listing in group]
QUALITY = [
    "quality",
    "quality?vendor=orion&until=2026-11-25",
    "quality/orion/assets/2026-11-25",
    "quality-of-run?run_id=run-1&dag_id=orion_live",
]
OPEN = [
    "",
    "summary",
    "health",
    "health.json",
    "vendors/orion",
    "vendors/orion/backfill?first=2026-11-20&last=2026-11-24",
    "vendors/emoney/backfill",
    "vendors/orion/ignored-fields.txt",
    "salesforce",
    "checks",
    "checks/tamarac",
    "checks/orion",
    "thresholds",
    "runs?run_id=run-1&dag_id=orion",
    *QUALITY,
    *(each.path for each in LISTS if not each.is_personal),
]
RECORD = f"lineage/record?{urlencode({'entity': 'household', 'vendor': 'made-up', 'key': SCRIPT})}"
LINEAGE = [
    "lineage", RECORD, f"{RECORD}&on=2026-11-20&at=2026-11-27T08:00:00", "lineage/run?run_id=run-1", "lineage/load?ledger_id=1",
    f"lineage/row?{urlencode({'vendor': 'orion', 'table': 'assets', 'day': '2026-11-25', 'key': SCRIPT})}",
    f"lineage/find?{urlencode({'salesforce': f'demo:made-up:household:{SCRIPT}'})}",
]  # fmt: skip
PERSONAL = ["find-client", *(each.path for each in LISTS if each.is_personal), *LINEAGE]
GROUP = "clients/dead-letter-group?" + urlencode(
    {"vendor": "orion", "table_name": "assets", "business_date": DAY, "stage": "stage", "reasons": "=HYPERLINK(1)"}
)
DAY_PAGE = f"clients/day?vendor=orion&business_date={DAY}"
CLIENT_PAGES = [GROUP, DAY_PAGE]
STATIC = {
    "operations.css": "text/css",
    "operations.js": "text/javascript",
    "summary.js": "text/javascript",
    "forms.js": "text/javascript",
    "backfill.js": "text/javascript",
    "switch.js": "text/javascript",
    "dead_letters.js": "text/javascript",
    "day.js": "text/javascript",
    "thresholds.js": "text/javascript",
    "who_is_who.css": "text/css",
}

pytestmark = pytest.mark.airflow


def record_report(database: Database) -> None:
    """Store a report whose findings contain markup."""
    engine = schema.engine(database.url())
    found = [Finding("login", "green", "The login works."), Finding(SCRIPT, "red", "Missing.", f"Declare {SCRIPT}.")]
    report.record(engine, "orion", "run-1", found)
    engine.dispose()


@dataclass
class Served:
    url: str
    admin: str
    viewer: str
    database: Database

    def post(self, path: str, token: str, origin: str | None = None, **form: Any) -> requests.Response:
        """Submit a form with the login's cookie, as a browser does."""
        headers = {"Origin": origin or self.url, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        url, cookies = f"{self.url}/operations/{path}", {"_token": token}
        return requests.post(url, data=form, headers=headers, cookies=cookies, timeout=60, allow_redirects=False)

    def get(self, path: str, token: str = "") -> requests.Response:
        """Request a page, as a browser that shows it does."""
        headers = {"Accept": "text/html"} | ({"Authorization": f"Bearer {token}"} if token else {})
        return requests.get(f"{self.url}/operations/{path}", headers=headers, timeout=60)

    def post_json(self, path: str, body: dict[str, Any], token: str, origin: str = "") -> requests.Response:
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
    record_event_troubles(shared_database, SCRIPT)
    load_household(shared_database, tmp_path_factory.mktemp("staging"), SCRIPT, SCRIPT)
    record_report(shared_database)
    record_validation(shared_database, failed=2, expectation=SCRIPT, notes=SCRIPT)
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


def test_the_newest_report_of_each_system_is_shown_with_the_worst_finding_first(served: Served) -> None:
    listed = served.get("checks", served.viewer).text
    assert '<a href="./checks/orion">Orion' in listed
    assert "Tributary&#39;s own parts" in listed
    page = served.get("checks/orion", served.viewer).text
    assert page.index("Missing.") < page.index("The login works.")
    assert SCRIPT not in page
    assert f"Declare {SCRIPT}." in unescape(page)
    assert "run-1" in page
    assert "It was not checked yet" in served.get("checks/tamarac", served.viewer).text
    assert served.get("checks/nothing", served.viewer).status_code == 404
    assert "1 to fix" in served.get("vendors/orion", served.viewer).text


@pytest.mark.parametrize("path", [*PERSONAL, *CLIENT_PAGES])
def test_lists_of_clients_need_the_right_to_review(served: Served, path: str) -> None:
    refused = served.get(path, served.viewer)
    assert refused.status_code == 403
    assert "This page shows clients. It requires the right to answer approval requests" in refused.text
    assert f'href="{"../" * path.count("/") or "./"}static/operations.css"' in refused.text
    assert served.get(path, served.admin).status_code == 200


@pytest.mark.parametrize("path", [path for path in PERSONAL if path not in LINEAGE])
def test_a_list_of_clients_is_not_among_the_lists_for_all(served: Served, path: str) -> None:
    assert served.get(path.replace("clients/", "lists/"), served.viewer).status_code == 403


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("lists/dead-letters?vendor=tamarac", "No row matches the filters"),
        ("lists/dead-letters?offset=1000", "The list ends before this page"),
        (f"{DAY_PAGE}&offset=1000", "The list ends before this page"),
        ("lists/salesforce-jobs", "No job has been created yet"),
        ("clients/salesforce-differences", "No difference was found so far"),
        ("clients/salesforce-adoption-records", "nothing has been compared yet"),
    ],
)
def test_a_list_is_called_empty_only_if_it_is(served: Served, path: str, text: str) -> None:
    page = served.get(path, served.admin).text
    assert text in page
    assert "No row waits" not in page
    assert "No account and no position differs" not in page


def test_the_rejected_records_of_one_error_can_be_sent_again(served: Served) -> None:
    for table in ("Account", "Task"):
        record_dead_letter(served.database, table, vendor="salesforce", table=table, stage="crm", reason="NO_<b>: x")
    page = served.get("lists/salesforce-rejections", served.viewer).text
    buttons = re.findall(r'data-dag="salesforce" data-conf="([^"]*)"', page)
    assert [json.loads(unescape(conf)) for conf in buttons] == [
        {"resend_refused": True},
        {"resend_error": "Account: NO_<b>"},
    ]


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


def test_the_audit_trail_records_whose_lineage_was_opened(served: Served) -> None:
    served.get(RECORD, served.admin)
    served.get(RECORD, served.viewer)  # refused
    entry = served.database.rows("select * from control.audit order by entry_id desc limit 1")[0]
    assert (entry["actor"], entry["action"]) == (airflow.USER, "as_of.read")
    assert entry["subject"] == f"household made-up {SCRIPT}"


@pytest.mark.parametrize("path", LINEAGE)
def test_text_of_vendors_is_escaped_on_pages_of_lineage(served: Served, path: str) -> None:
    assert SCRIPT not in served.get(path, served.admin).text


def test_the_page_of_a_household_shows_its_net_worth_with_the_copies(served: Served) -> None:
    page = served.get(RECORD, served.admin).text
    assert "Net worth, as in mart.net_worth: $5.00" in page
    [copied] = re.findall(r'no, copy of <a href="([^"]*)"', page)
    assert (
        served.get(f"lineage/{copied.partition('lineage/')[2]}".replace("&amp;", "&"), served.admin).status_code == 200
    )


def test_a_search_leads_to_a_record(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.admin}"}
    page = requests.post(f"{served.url}/operations/lineage", data={"text": "made up"}, headers=headers, timeout=60).text
    link = re.search(r'href="\./(lineage/record\?[^"]+)"', page)
    assert link
    assert "&lt;script&gt;alert(" in served.get(html.unescape(link[1]), served.admin).text


@pytest.mark.parametrize(("path", "field"), [("lineage", "text"), ("find-client", "name")])
def test_a_page_of_another_site_can_not_search(served: Served, path: str, field: str) -> None:
    assert served.post(path, served.admin, "https://other.example", **{field: "made up"}).status_code == 403
    assert served.post(path, served.admin, **{field: "made up"}).status_code == 200


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


@pytest.mark.parametrize(
    "path", ["lists/rejected-deliveries", "lists/given-up-events", "lists/missing-documents", "lists/subscribers"]
)
def test_text_of_senders_and_subscribers_is_escaped(served: Served, path: str) -> None:
    page = served.get(path, served.viewer).text
    assert SCRIPT not in page
    assert "&lt;script&gt;alert(" in page


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


def test_a_failing_check_leads_to_its_rows(served: Served) -> None:
    page = served.get("quality/orion/assets/2026-11-25", served.viewer).text
    link = re.search(r'href="\.\./\.\./\.\./(clients/rejected-rows\?[^"]*reason=%3Cscript[^"]*)"', page)
    assert link
    assert "of 1." in served.get(html.unescape(link[1]), served.admin).text


def test_rejected_rows_and_a_stopped_day_differ_in_word_shape_and_color(served: Served) -> None:
    page = served.get("quality?vendor=orion&until=2026-11-25", served.viewer).text
    assert 'class="mark aside"><span aria-hidden="true">▲</span> rows rejected' in page
    assert 'class="mark stopped"><span aria-hidden="true">■</span> day stopped' in page


@pytest.mark.parametrize(
    "path", ["quality?until=", "quality?until=0001-01-01", "quality?until=9999-12-31", "quality/a/b/1800-01-01"]
)
def test_any_day_of_a_page_of_quality_is_answered(served: Served, path: str) -> None:
    assert served.get(path, served.viewer).status_code == 200


def test_formulas_are_neutralized_in_files(served: Served) -> None:
    response = served.get("clients/dead-letter-rows?format=csv", served.admin)
    assert response.headers["content-type"].startswith("text/csv")
    assert "'=1+1" in response.text
    assert ",=HYPERLINK" not in response.text
    assert response.text.startswith("dead_letter_id,vendor,")


def test_a_file_has_every_row(served: Served) -> None:
    served.database.do(
        "insert into control.alert (kind, title) select 'x' || n, 'many' from generate_series(1, 100001) n"
    )
    lines = served.get("clients/activity?format=csv&action=sent the alert", served.admin).text.splitlines()
    served.database.do("delete from control.alert where title = 'many'")
    assert len(lines) > 100_001
    entry = served.database.value(
        "select details from control.audit where action = 'operations.opened' order by entry_id desc limit 1"
    )
    assert entry["rows"] == len(lines) - 1


def test_rows_after_the_counted_ones_have_a_page(served: Served) -> None:
    served.database.do(
        "insert into control.alert (kind, title) select 'y' || n, 'many' from generate_series(1, 10060) n"
    )
    page = served.get("clients/activity?action=sent the alert&offset=9950", served.admin).text
    served.database.do("delete from control.alert where title = 'many'")
    assert "9,951 to 10,000 of 10,000 or more" in page
    assert "offset=10000" in page


def test_the_tab_of_a_run_has_only_the_counts_of_its_kind(served: Served) -> None:
    served.database.do(
        "insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,"
        " sent, created) values (nextval('control.ledger_id'), 'a sync', 'salesforce', 'Contact', 'person', '2026-11-25', 'crm', 'p',"
        " 'current', now(), 3, 3)"
    )
    headings = {
        run: re.findall("<th[^>]*>([^<]+)</th>", served.get(f"runs?run_id={run}", served.viewer).text)
        for run in ("a sync", "run-1")
    }
    served.database.do("delete from control.ledger where run_id = 'a sync'")
    assert {"Sent", "Rejected"} <= set(headings["a sync"])
    assert not {"Fetched", "New", "Withdrawn"} & set(headings["a sync"])
    assert {"Fetched", "New", "Withdrawn"} <= set(headings["run-1"])
    assert not {"Sent", "Rejected"} & set(headings["run-1"])


def test_rows_of_the_vendor_and_rows_of_the_warehouse_are_told_apart(served: Served) -> None:
    assert "rows of the warehouse changed" in served.get("", served.viewer).text
    assert "count rows of the warehouse" in served.get("vendors/orion", served.viewer).text


def test_a_signal_without_a_value_says_none(served: Served) -> None:
    assert '<td class="number">none</td>' in served.get("health", served.viewer).text


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("lists/nothing", 404, "The list was not found."),
        ("vendors/nothing", 404, "Vendor not found."),
        ("nothing", 404, "Not Found."),
        ("lists/dead-letters?offset=abc", 422, "offset: Input should be a valid integer"),
        ("quality/orion/assets/2026-13-45", 422, "Input should be a valid date"),
    ],
)
def test_an_invalid_address_is_explained_on_a_page(served: Served, path: str, status: int, text: str) -> None:
    response = served.get(path, served.admin)
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert text in response.text
    assert f'href="{"../" * path.partition("?")[0].count("/") or "./"}"' in response.text


def test_a_day_that_was_not_compared_has_no_uncounted_units(served: Served) -> None:
    served.database.do(
        "insert into control.reconciliation (vendor, business_date, run_id, check_name, expected, actual, tolerance, is_passed, note)"
        " values ('tamarac', '2026-11-25', 'r', 'roll-forward', 0, 0, 0, true, 'never loaded')"
    )
    served.database.do(
        "insert into control.crm_total (vendor, business_date, check_name, due, accepted, run_id)"
        " values ('tamarac', '2026-11-25', 'roll-forward', 77, 77, 'r')"
    )
    page = served.get("clients/day?vendor=tamarac&business_date=2026-11-25", served.admin).text
    served.database.do("delete from control.crm_total where run_id = 'r'")
    served.database.do("delete from control.reconciliation where run_id = 'r'")
    assert "not compared" in page
    assert "-77" not in page


def test_health_is_the_same_on_the_page_and_as_json(served: Served) -> None:
    health = served.get("health.json", served.viewer).json()
    assert health["light"] in ("amber", "red")
    dead = next(each for each in health["signals"] if each["name"] == "dead_letters" and each["value"])
    assert (dead["labels"], dead["light"], dead["value"]) == ({"vendor": "orion", "table": "assets"}, "amber", 2)
    page = served.get("health", served.viewer).text
    assert "orion, assets" in page
    assert dead["action"] in page
    assert 'href="./lists/dead-letters?vendor=orion"' in page
    assert all(each["title"] in unescape(page) for each in health["signals"])


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


def test_today_leaves_out_a_vendor_that_the_firm_no_longer_uses(served: Served) -> None:
    served.database.do("insert into control.unused_vendor values ('orion')")
    try:
        titles = [card["title"] for card in served.get("summary", served.viewer).json()]
        page = served.get("vendors/orion", served.viewer).text
    finally:
        served.database.do("delete from control.unused_vendor")
    assert "Orion Advisor" not in titles
    assert "the firm has no connection to it" in page


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
    assert places == ["nav", "dag_run", "dag_run", "dashboard"]


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


@pytest.mark.parametrize(
    "path",
    [
        f"{GROUP}%00",
        "lists/dead-letters?vendor=%00",
        "quality?vendor=%00",
        "quality/%00/a/2026-11-25",
        "runs?run_id=%00",
    ],
)
def test_a_text_that_the_database_can_not_store_is_refused(served: Served, path: str) -> None:
    assert served.get(path, served.admin).status_code == 422


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
