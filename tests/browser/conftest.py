"""What the tests of the Operations pages share: the browser, the login, and addresses of pages with the rows that they record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from include.operations.lists import GROUPS
from tests.operations.records import DAY

PATIENCE_MS = 120_000
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LISTS = [each.path for group in GROUPS.values() for each in group]
BACKFILL = "vendors/orion/backfill?first=2026-11-20&last=2026-11-24"
GROUP = "clients/dead-letter-group?" + urlencode(
    {
        "vendor": "orion",
        "table_name": "assets",
        "business_date": DAY,
        "stage": "stage",
        "reasons": "price: not a number",
    }
)
DAY_PAGE = f"clients/day?vendor=orion&business_date={DAY}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def log_in(page: Page, name: str, password: str) -> None:
    """Log in on the page of Airflow's auth manager, and wait for Airflow's home page."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto("/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Dags", exact=True).first.wait_for()
