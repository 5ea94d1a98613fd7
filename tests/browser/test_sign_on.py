"""Sign-on of production in a real browser, through the real proxy: cookies, policies and what the browser stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import ConsoleMessage, Page, sync_playwright

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
