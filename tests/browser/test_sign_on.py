"""Sign-on of production in a real browser, through the real proxy: cookies, policies and what the browser stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from local.processes import find_free_port
from tests.running_proxy import HOST, run_proxy
from tests.sign_on.production import serve

FIRST, OWN = "an orchard of plums", "seven grey lighthouses"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
USER = ["--username", "marianne", "--role", "Admin", "--firstname", "A", "--lastname", "B", "--email", "m@localhost"]

pytestmark = [
    pytest.mark.long, pytest.mark.timeout(900), pytest.mark.skipif(CHROMIUM is None, reason="no browser is here"),
]  # fmt: skip


@pytest.fixture(scope="module")
def signed_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, list[str]]]:
    """A browser in which a new user has logged in and changed the first password, and what a policy blocked so far."""
    port, https_port = find_free_port(), find_free_port()
    settings = {"AIRFLOW__FAB__COOKIE_SECURE": "True", "AIRFLOW__API__BASE_URL": f"https://{HOST}:{https_port}"}
    blocked: list[str] = []

    def collect(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            blocked.append(message.text)

    home, folder = (tmp_path_factory.mktemp(name) for name in ("airflow", "caddy"))
    with serve(home, port, **settings) as server, run_proxy(folder, f"127.0.0.1:{port}", https_port):
        created = server.command("users", "create", *USER, "--password", FIRST)
        assert created.returncode == 0, created.stderr[-2000:]
        with sync_playwright() as playwright:
            options = ["--no-sandbox", f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
            page = browser.new_context(base_url=f"https://{HOST}:{https_port}", ignore_https_errors=True).new_page()
            page.set_default_timeout(120_000)
            page.on("console", collect)
            page.goto("/")  # leads to the login
            fill(page, username="marianne", password=FIRST)
            page.goto("/auth/users/userinfo/")  # leads to the page for a new password
            fill(page, current=FIRST, password=OWN, conf_password=OWN)
            page.goto("/")
            page.get_by_role("link", name="Dags", exact=True).first.wait_for()
            yield page, blocked
            browser.close()


def fill(page: Page, **fields: str) -> None:
    """Fill in a form of FAB and send it."""
    for name, value in fields.items():
        page.fill(f"input[name={name}]", value)
    with page.expect_navigation():
        page.keyboard.press("Enter")


@contextmanager
def log_in_again(page: Page) -> Iterator[Page]:
    """A second browser in which the user has logged in."""
    assert page.context.browser is not None
    origin = page.evaluate("location.origin")
    with closing(page.context.browser.new_context(base_url=origin, ignore_https_errors=True)) as context:
        other = context.new_page()
        other.goto("/")
        fill(other, username="marianne", password=OWN)
        other.get_by_role("link", name="Dags", exact=True).first.wait_for()
        yield other


# First, because a session can be ended only within five minutes after a login.
def test_a_user_ends_the_session_of_another_browser(signed_on: tuple[Page, list[str]]) -> None:
    page, blocked = signed_on
    with log_in_again(page) as other:
        page.goto("/security/sessions")
        frame = page.frame_locator("iframe")
        frame.get_by_role("heading", name="Your sessions").wait_for()
        rows = frame.locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.filter(has_text="This session")).to_have_count(1)
        frame.get_by_role("button", name="End", exact=True).click()
        frame.get_by_text("Sessions ended: 1.").wait_for()
        expect(rows).to_have_count(1)

        other.goto("/dags")
        other.locator("input[name=username]").wait_for()
    assert blocked == []


def test_the_page_of_sessions_has_no_barrier_and_fits_a_narrow_window(signed_on: tuple[Page, list[str]]) -> None:
    page, _ = signed_on
    with log_in_again(page):
        page.goto("/auth/sessions/")
        # The frame around the content is FAB's.
        assert [each["id"] for each in Axe().run(page, context="main").response["violations"]] == []
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.set_viewport_size({"width": 1280, "height": 720})


def test_the_pages_of_airflow_and_fab_need_nothing_that_a_policy_blocks(signed_on: tuple[Page, list[str]]) -> None:
    page, blocked = signed_on
    for path in ("/auth/users/list/", "/auth/users/add", "/auth/resetmypassword/form", "/dags", "/security/users"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
    assert blocked == []


def test_every_cookie_is_secure_and_hidden_from_scripts(signed_on: tuple[Page, list[str]]) -> None:
    page, _ = signed_on
    cookies = {each["name"]: each for each in page.context.cookies()}
    assert cookies.keys() == {"__Host-session", "__Host-_token"}
    for each in cookies.values():
        assert (each["secure"], each["httpOnly"], each["sameSite"], each["path"]) == (True, True, "Lax", "/")
    assert page.evaluate("document.cookie") == ""


def test_the_browser_stores_nothing_but_settings_of_the_pages(signed_on: tuple[Page, list[str]]) -> None:
    page, _ = signed_on
    page.goto("/dags")
    page.wait_for_load_state("networkidle")
    stored = page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")
    assert {name for name in stored if name not in ("i18nextLng", "theme", "timezone", "dags_list_display")} == set()


def test_a_logout_is_on_the_page_and_removes_what_is_stored(signed_on: tuple[Page, list[str]]) -> None:
    page, _ = signed_on
    page.goto("/")
    page.get_by_role("button", name="User").first.click()
    page.get_by_role("menuitem", name="Logout").click()
    page.get_by_role("button", name="Confirm").click()
    page.locator("input[name=username]").wait_for()
    assert {each["name"] for each in page.context.cookies()} == {"__Host-session"}
    page.goto("/dags")
    page.locator("input[name=username]").wait_for()
