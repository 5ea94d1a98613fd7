"""The Operations pages behind Airflow's login: who sees which, and what is escaped."""

from __future__ import annotations

import html
import json
import re
from html import unescape
from urllib.parse import urlencode

import pytest
import requests

from include.operations.lists import GROUPS
from local import airflow
from tests.operations.records import DAY, record_dead_letter
from tests.plugins.pages.operations_pages import DAY_PAGE, SCRIPT, Served

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
        "insert into control.alert (kind, title, sent_at) select 'x' || n, 'many', now() from generate_series(1, 100001) n"
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
        "insert into control.alert (kind, title, sent_at) select 'y' || n, 'many', now() from generate_series(1, 10060) n"
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
