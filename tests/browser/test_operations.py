"""The Operations pages in Airflow, in a real browser: theme, navigation, accessibility."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from include import business_dates
from include.control import dead_letters
from include.warehouse import schema
from local import airflow
from tests.browser.conftest import BACKFILL, CHROMIUM, DAY_PAGE, GROUP, LISTS, log_in
from tests.conftest import Database
from tests.dags.stored_dags import serve_dags
from tests.operations.quality_records import load_household, record_validation
from tests.operations.records import (
    DAY,
    record_check,
    record_day,
    record_dead_letter,
    record_event_troubles,
    record_pairs,
    record_rejection,
)

VENDOR = ["vendors/orion", BACKFILL, "salesforce", "find-client"]
LONG = "M" * 5000
RIGHT_TO_LEFT = "\u202eevil"
QUALITY = [
    "quality?until=2026-11-25", "quality?vendor=orion&until=2026-11-25", "quality/orion/assets/2026-11-25", "quality-of-run?run_id=run-1",
]  # fmt: skip
RECORD = urlencode({"entity": "household", "vendor": "made-up", "key": RIGHT_TO_LEFT})
LINEAGE = [
    "lineage", f"lineage/record?{RECORD}", "lineage/load?ledger_id=1", "lineage/run?run_id=run-1",
    f"lineage/row?vendor=orion&table=assets&day=2026-11-25&key={LONG[:1500]}",
]  # fmt: skip
WHO_IS_WHO = ["who-is-who/", "who-is-who/links", "who-is-who/decisions", "who-is-who/pair?entity=person&left=1&right=2"]
HOSTILE = f"<img src=x onerror=alert(1)>{RIGHT_TO_LEFT}"
HOSTILE_GROUP = GROUP.partition("&reasons=")[0] + "&" + urlencode({"reasons": HOSTILE})
ACTIONS = [GROUP, HOSTILE_GROUP, DAY_PAGE, "thresholds"]
PAGES = ["", "health", *VENDOR, "runs?run_id=run-1", *QUALITY, *LINEAGE, *LISTS, *ACTIONS, *WHO_IS_WHO, "api-keys/"]

pytestmark = [pytest.mark.airflow, pytest.mark.skipif(CHROMIUM is None, reason="no browser is here")]


@pytest.fixture(scope="module")
def url(shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    record_day(shared_database)
    # The server has no other clock: without its newest day, the vendor would be late.
    record_day(shared_database, business_dates.latest_closed(datetime.now(UTC)), run="run-today")
    record_check(shared_database, breaks=1, explained=1, actual=90)
    record_dead_letter(shared_database, LONG, reason=LONG)
    record_dead_letter(shared_database, RIGHT_TO_LEFT, reason=HOSTILE)
    shared_database.do(
        "insert into control.dead_letter_content (dead_letter_id, cells, run_id) select dead_letter_id, jsonb_build_array("
        " jsonb_build_object('name', 'quantity', 'text', '12', 'is_bad', false),"
        " jsonb_build_object('name', row_key, 'text', repeat(public_reasons[1], 20), 'is_bad', true)), 'r' from control.dead_letter"
    )
    record_rejection(shared_database, vendor="tamarac")
    record_event_troubles(shared_database, LONG)
    record_pairs(shared_database, 1, 5, name=f"<script>alert(1)</script> {RIGHT_TO_LEFT} {LONG}")
    record_pairs(shared_database, 101, 3, table="link")
    record_pairs(shared_database, 1001, 500, name="Pat Sample", vendors=("emoney", "tamarac"))
    load_household(
        shared_database, tmp_path_factory.mktemp("staging"), f"{LONG}<script>alert(1)</script>", RIGHT_TO_LEFT
    )
    for level, expectation in (("row", LONG), ("batch", f"{RIGHT_TO_LEFT}<script>alert(1)</script>")):
        record_validation(
            shared_database, failed=3, level=level, expectation=expectation[:2000], notes=LONG + RIGHT_TO_LEFT
        )
    connections = {"tributary_db": shared_database.url("tributary_web").replace("postgresql://", "postgres://")}
    connections |= {
        name: json.dumps({"conn_type": "http", "host": "http://127.0.0.1:1"}) for name in ("orion", "tamarac")
    }
    roles = {airflow.USER: "admin", "Viewer": "viewer", "User": "user"}
    with serve_dags(tmp_path_factory.mktemp("airflow"), airflow_database, roles, connections) as (api, _, _):
        yield api.url


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A browser that has logged in; a script error fails the test."""
    context = browser.new_context(base_url=url, viewport={"width": 1366, "height": 900})
    shown = context.new_page()
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    log_in(shown, airflow.USER, "only-for-tests")
    yield shown
    context.close()
    assert errors == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_pages_are_part_of_airflow(page: Page, theme: str) -> None:
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    page.goto("/")
    page.get_by_text("Operations today").wait_for()
    page.get_by_text("2 rows could not be processed, with $20.00.").wait_for()

    page.get_by_role("link", name="Operations", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Orion Advisor").wait_for()
    expect(frame.locator("html")).to_have_attribute("data-theme", theme)
    background = "getComputedStyle(document.{}).backgroundColor"
    assert frame.locator("body").evaluate(f"() => {background.format('body')}") == page.evaluate(
        background.format("documentElement")
    )

    frame.get_by_role("link", name="Orion Advisor").click()
    frame.get_by_role("heading", name="Business dates").wait_for()
    address = page.url
    page.goto("/")
    page.goto(address)
    frame.get_by_role("heading", name="Orion Advisor").wait_for()


def test_a_button_starts_a_run_as_the_user_and_links_to_it(page: Page) -> None:
    page.goto("/operations/vendors/orion")
    page.get_by_role("button", name="Check now").click()
    status = page.get_by_role("status")
    expect(status).to_contain_text("queued")  # this Airflow has no scheduler
    expect(status.get_by_role("link")).to_have_attribute("href", re.compile("/dags/check_connection/runs/manual"))


@pytest.mark.parametrize(
    ("role", "clients", "keys", "test"),
    [
        ("Viewer", "Not allowed", "Not allowed", "Your role does not include this. Nothing was changed."),
        ("User", "Refresh one client", "Not allowed", "queued"),
        (airflow.USER, "Refresh one client", "Create an API key", "queued"),
    ],
)
def test_a_role_in_short(browser: Browser, url: str, role: str, clients: str, keys: str, test: str) -> None:
    """`test_roles.py` tests each page and each action."""
    context = browser.new_context(base_url=url)
    page = context.new_page()
    log_in(page, role, "only-for-tests")
    for path, heading in (("find-client", clients), ("api-keys/", keys), ("vendors/orion", "Orion Advisor")):
        page.goto(f"/operations/{path}")
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_role("status")).to_contain_text(test)
    context.close()


def test_a_button_starts_no_run_of_a_paused_dag(page: Page) -> None:
    page.goto("/operations/vendors/orion")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Pull now").click()
    expect(page.get_by_role("status")).to_contain_text('The DAG "Orion Advisor: daily load" is paused')


def test_a_day_of_a_paused_dag_is_not_accepted(page: Page, shared_database: Database) -> None:
    page.goto(f"/operations/clients/day?vendor=tamarac&business_date={DAY}")
    page.get_by_label("Note").first.fill("The vendor confirmed it")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Accept and run the day").click()
    expect(page.get_by_role("status").first).to_contain_text("is paused, so no run would start")
    assert shared_database.rows("select * from control.day_decision where vendor = 'tamarac'") == []


def test_writing_to_salesforce_is_paused_and_resumed(page: Page) -> None:
    page.goto("/operations/salesforce")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Pause Salesforce").click()
    page.get_by_text("All writes are paused").wait_for()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Resume Salesforce").click()
    page.get_by_role("button", name="Pause Salesforce").wait_for()


def test_a_backfill_is_chosen_by_business_dates_watched_and_stopped(page: Page) -> None:
    page.goto("/operations/vendors/orion")
    page.get_by_role("link", name="Backfill").click()
    page.get_by_label("From").fill("2026-11-20")
    page.get_by_label("To").fill("2026-11-24")
    page.get_by_role("button", name="Preview").click()
    rows = page.locator("tr[data-interval]")
    expect(rows.locator(".run")).to_have_text(["a run starts"] * 3)
    expect(rows.first).to_contain_text("accounts, assets, transactions")

    page.get_by_label("To").fill("2026-11-27")  # the 26th is Thanksgiving
    page.get_by_role("button", name="Preview").click()
    expect(rows).to_have_count(5)
    page.get_by_text("6 runs. 1 of them for holidays: they load the trading day before again.").wait_for()
    page.go_back()

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Start the backfill").click()
    progress = page.locator("#progress")
    expect(progress).to_contain_text("0 of 3 runs done. The DAG is paused")
    expect(rows.locator(".run a")).to_have_text(["queued"] * 3)

    page.reload()  # the page finds the backfill again
    page.once("dialog", lambda dialog: dialog.accept())
    progress.get_by_role("button", name="Stop").click()
    expect(progress).to_contain_text("Ended")
    expect(progress).to_contain_text("3 of 3 runs done, 3 failed.")


def read_decisions(database: Database, vendor_id: int = 0) -> list[bool]:
    rows = database.rows(
        "select is_same from control.identity_decision_in_force where left_id > :id order by decision_id", id=vendor_id
    )
    return [row["is_same"] for row in rows]


def press(page: Page, key: str) -> None:
    """Press a key once the page listens: its text is visible before its scripts have run."""
    page.wait_for_load_state("domcontentloaded")
    page.keyboard.press(key)


def test_keys_decide_skip_and_undo_but_not_while_typing(page: Page, shared_database: Database) -> None:
    queue = "/operations/who-is-who/?vendor=tamarac"
    before = read_decisions(shared_database)
    page.goto(queue)
    expect(page.get_by_text("1 of 500")).to_be_visible()
    for key, position in (("n", 2), ("k", 3), ("p", 2), ("Enter", 2), ("x", 2)):
        press(page, key)
        expect(page.get_by_text(f"{position} of 500")).to_be_visible()
    page.get_by_label("or in your words").fill("s d n Asked her")
    press(page, "Enter")
    expect(page.get_by_text("2 of 500")).to_be_visible()
    assert read_decisions(shared_database) == before
    press(page, "Escape")
    press(page, "d")
    expect(page.get_by_text("2 of 499")).to_be_visible()
    assert read_decisions(shared_database) == [*before, False]
    press(page, "n")
    expect(page.get_by_text("3 of 499")).to_be_visible()
    press(page, "u")
    expect(page.get_by_text("2 of 500")).to_be_visible()
    assert read_decisions(shared_database) == before


def test_a_preview_says_who_becomes_one(page: Page) -> None:
    page.goto("/operations/who-is-who/?vendor=tamarac")
    same = page.locator("section", has=page.get_by_role("heading", name="If they are the same"))
    expect(same).to_contain_text("Then: Pat Sample 1001 (emoney), Pat Sample 1002 (tamarac)")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_500_pairs_are_decided_by_the_keyboard(page: Page, shared_database: Database) -> None:
    page.goto("/operations/who-is-who/?vendor=tamarac")
    started = time.perf_counter()
    for left in range(500, 0, -1):
        expect(page.get_by_text(f"1 of {left}", exact=True)).to_be_visible()
        press(page, "sd"[left % 2])
    expect(page.get_by_text("No pair waits for a decision here.")).to_be_visible()
    print(f"{(time.perf_counter() - started) / 500:.2f} s per pair")
    assert len(read_decisions(shared_database, 1000)) == 500


def find_barriers(page: Page, path: str, **options: Any) -> list[str]:
    violations = Axe().run(page, options={"resultTypes": ["violations"]} | options).response["violations"]
    serious = (each for each in violations if each["impact"] in ("serious", "critical"))
    return [f"{path} {each['id']}: {each['nodes'][0]['html'][:200]}" for each in serious]


def test_no_page_has_a_serious_barrier(page: Page) -> None:
    """In both themes, of which only the contrast of a page depends."""
    barriers = []
    page.emulate_media(color_scheme="dark")
    for path in PAGES:
        page.goto(f"/operations/{path}")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        barriers += find_barriers(page, path)
        page.evaluate("delete document.documentElement.dataset.theme")
        barriers += find_barriers(page, f"{path} (light)", runOnly=["color-contrast"])
    page.emulate_media(color_scheme="light")
    assert barriers == []


def test_pages_fit_a_narrow_window(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    widths = {}
    for path in PAGES:
        page.goto(f"/operations/{path}")
        widths[path] = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1366, "height": 900})
    assert {path: width for path, width in widths.items() if width > 390} == {}


def answer_runs(page: Page, results: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
    """Answer for Airflow, which has no scheduler here: each run succeeds at its second poll with the result of `results(conf)`.

    Returns the parameters of the runs, as the page sends them.
    """
    started: list[dict[str, Any]] = []

    def respond(route: Route) -> None:
        run = {"dag_id": "replay_dead_letters", "dag_run_id": f"run-{len(started)}", "state": "running"}
        if route.request.method == "POST":
            started.append(route.request.post_data_json["conf"])
            route.fulfill(json=run | {"dag_run_id": f"run-{len(started)}"})
        elif "xcomEntries" in route.request.url:
            route.fulfill(json={"value": results(started[-1])})
        else:
            route.fulfill(json=run | {"state": "success", "is_paused": False})

    page.route("**/api/v2/dags/**", respond)
    return started


@pytest.fixture
def group(page: Page, shared_database: Database) -> Iterator[Page]:
    """The page of a group with three dead letters."""
    shared_database.do("delete from control.dead_letter where reasons = '{price: not a number}'")
    for key in ("A1", "A2", "A3"):
        record_dead_letter(shared_database, key)
    page.goto(f"/operations/{GROUP}")
    yield page
    page.unroute_all()


def test_a_dry_replay_shows_its_result_in_place_and_then_replays_the_same_rows(group: Page) -> None:
    counts = {"selected": 2, "keyless": 0, "found": 2, "landed": 2, "still_dead": 0}
    started = answer_runs(group, lambda conf: counts)
    for row in ("Row 1", "Row 3"):
        group.get_by_label(row).focus()
        group.keyboard.press("Space")
    group.get_by_role("button", name="Dry replay").focus()
    group.keyboard.press("Enter")
    outcome = group.locator("section", has_text="Load them").locator(".outcome")
    expect(outcome).to_contain_text(
        "Dry run: 2 rows selected, 2 returned by the vendor, 2 would be loaded, 0 still bad"
    )

    group.get_by_label("Row 2").check()  # what is ticked afterwards is not replayed
    group.once("dialog", lambda dialog: dialog.accept())
    outcome.get_by_role("button", name="Replay 2 rows").click()
    expect(outcome).to_contain_text("Done: 2 rows selected")
    dry, real = started
    assert dry == real | {"dry_run": True}
    assert (real["action"], real["table"], real["business_date"], len(real["dead_letters"])) == (
        "replay", "orion.assets", str(DAY), 2,
    )  # fmt: skip


def test_a_group_is_discarded_with_a_reason_after_a_confirmation(group: Page, shared_database: Database) -> None:
    loading = schema.engine(shared_database.url())

    def discard(conf: dict[str, Any]) -> object:
        ids = dead_letters.find_group(loading, conf["group"])
        outcome = dead_letters.discard(loading, ids, conf["reason"], "ann", "run", is_dry=conf["dry_run"])
        return {"dead_letters": len(outcome.dead_letters), "money_usd": str(outcome.money_usd), "released": 0}

    answer_runs(group, discard)
    section = group.locator("section", has_text="Discard them")
    section.get_by_role("button", name="Discard …").click()
    expect(section).to_contain_text("The reason is empty")
    section.get_by_label("Reason").fill("test account")
    section.get_by_role("button", name="Discard …").click()
    expect(section).to_contain_text("Dry run: 3 rows would be discarded, with $30.00")
    query = "select distinct status, discarded_by, discard_reason from control.dead_letter where row_key in ('A1', 'A2', 'A3')"
    group.once("dialog", lambda dialog: dialog.dismiss())
    section.get_by_role("button", name="Discard 3 rows").click()
    assert shared_database.rows(query) == [{"status": "open", "discarded_by": None, "discard_reason": None}]
    group.once("dialog", lambda dialog: dialog.accept())
    section.get_by_role("button", name="Discard 3 rows").click()
    expect(section).to_contain_text("Done: 3 rows discarded")
    assert shared_database.rows(query) == [
        {"status": "discarded", "discarded_by": "ann", "discard_reason": "test account"}
    ]
    loading.dispose()


def test_a_page_opens_beside_airflows_frame(page: Page) -> None:
    page.goto("/plugin/operations")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Data quality").click()
    with page.context.expect_page() as opened:
        frame.get_by_role("link", name="Data Docs, the report to hand out").click()
    assert opened.value.url.endswith("/data-docs/")
    opened.value.close()


def test_confirmations_work_inside_airflows_frame(page: Page) -> None:
    page.goto("/plugin/operations")
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Today").wait_for()
    page.once("dialog", lambda dialog: dialog.accept())
    assert frame.locator("body").evaluate("() => agree('Go on?')")


def test_thresholds_are_previewed_before_they_are_saved(page: Page, shared_database: Database) -> None:
    shared_database.do("alter table control.threshold_change disable trigger user")
    shared_database.do("delete from control.threshold_change")
    page.goto("/operations/thresholds")
    rule = {"rule": "account_unfunded", "severity": "info", "now": 4, "proposed": 3}
    answer_runs(page, lambda conf: [rule, rule | {"rule": "plan_old", "now": None, "proposed": None}])
    page.get_by_label("unfunded_days").fill("soon")
    page.get_by_role("button", name="Preview the findings").click()
    expect(page.locator("#outcome")).to_contain_text("unfunded_days must be a number")
    page.get_by_label("unfunded_days").fill("45")
    page.get_by_role("button", name="Preview the findings").click()
    expect(page.locator("#result")).to_contain_text("account_unfundedinfo43-1")
    expect(page.locator("#result")).to_contain_text("not evaluated today")
    assert shared_database.value("select count(*) from control.threshold_change") == 0
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Save these thresholds").click()
    page.get_by_role("cell", name=airflow.USER, exact=True).wait_for()
    assert shared_database.value("select thresholds from control.threshold_change") == {"unfunded_days": 45}
    page.unroute_all()
