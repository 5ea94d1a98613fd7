"""The Operations pages in Airflow, in a real browser: theme, navigation, accessibility."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from include.operations.lists import GROUPS
from local import airflow
from tests.conftest import Database
from tests.dags.stored_dags import serve_dags
from tests.operations.records import record_check, record_day, record_dead_letter, record_rejection

PATIENCE_MS = 120_000
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PAGES = [
    "",
    "vendors/orion",
    "vendors/orion/backfill?first=2026-11-20&last=2026-11-24",
    "salesforce",
    "find-client",
    "runs?run_id=run-1",
    *(each.path for group in GROUPS.values() for each in group),
]
LONG = "M" * 5000
RIGHT_TO_LEFT = "\u202eevil"

pytestmark = [pytest.mark.airflow, pytest.mark.skipif(CHROMIUM is None, reason="no browser is here")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def url(shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    record_day(shared_database)
    record_check(shared_database, breaks=1, explained=1, actual=90)
    record_dead_letter(shared_database, LONG, reason=LONG)
    record_dead_letter(shared_database, RIGHT_TO_LEFT, reason=f"<img src=x onerror=alert(1)>{RIGHT_TO_LEFT}")
    record_rejection(shared_database, vendor="tamarac")
    connections = {"tributary_db": shared_database.url("tributary_web").replace("postgresql://", "postgres://")}
    connections |= {
        name: json.dumps({"conn_type": "http", "host": "http://127.0.0.1:1"}) for name in ("orion", "tamarac")
    }
    with serve_dags(tmp_path_factory.mktemp("airflow"), airflow_database, connections=connections) as (api, _, _):
        yield api.url


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    """A browser that has logged in, with Airflow in one of its themes; a script error fails the test."""
    context = browser.new_context(base_url=url, viewport={"width": 1366, "height": 900})
    shown = context.new_page()
    shown.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.on("dialog", lambda dialog: dialog.accept())
    shown.goto("/")
    shown.fill("input[name=username]", airflow.USER)
    shown.fill("input[name=password]", "only-for-tests")
    shown.keyboard.press("Enter")
    shown.get_by_role("link", name="Dags", exact=True).first.wait_for()
    shown.evaluate("theme => localStorage.setItem('theme', theme)", request.param)
    yield shown
    context.close()
    assert errors == []


def test_pages_are_part_of_airflow(page: Page) -> None:
    theme = page.evaluate("localStorage.getItem('theme')")
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
    page.get_by_role("button", name="Test the connection").click()
    status = page.get_by_role("status")
    expect(status).to_contain_text("queued")  # this Airflow has no scheduler
    expect(status.get_by_role("link")).to_have_attribute("href", re.compile("/dags/check_connection/runs/manual"))


def test_a_button_starts_no_run_of_a_paused_dag(page: Page) -> None:
    page.goto("/operations/vendors/orion")
    page.get_by_role("button", name="Pull now").click()
    expect(page.get_by_role("status")).to_contain_text('The DAG "Orion Advisor: daily load" is paused')


def test_writing_to_salesforce_is_paused_and_resumed(page: Page) -> None:
    page.goto("/operations/salesforce")
    page.get_by_role("button", name="Pause Salesforce").click()
    page.get_by_text("All writes are paused").wait_for()
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

    page.get_by_role("button", name="Start the backfill").click()
    progress = page.locator("#progress")
    expect(progress).to_contain_text("0 of 3 dates done. The DAG is paused")
    expect(rows.locator(".run a")).to_have_text(["queued"] * 3)

    page.reload()  # the page finds the backfill again
    progress.get_by_role("button", name="Stop").click()
    expect(progress).to_contain_text("Ended")
    expect(progress).to_contain_text("3 of 3 dates done, 3 failed.")


def test_no_page_has_a_serious_barrier(page: Page) -> None:
    theme = page.evaluate("localStorage.getItem('theme')")
    page.emulate_media(color_scheme=theme)
    barriers = {}
    for path in PAGES:
        page.goto(f"/operations/{path}")
        if theme == "dark":
            expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        violations = Axe().run(page).response["violations"]
        if serious := [
            f"{each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]:
            barriers[path] = serious
    assert barriers == {}


def test_pages_fit_a_narrow_window(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    widths = {}
    for path in PAGES:
        page.goto(f"/operations/{path}")
        widths[path] = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1366, "height": 900})
    assert {path: width for path, width in widths.items() if width > 390} == {}
