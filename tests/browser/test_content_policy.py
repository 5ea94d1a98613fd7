"""Airflow's pages under the content security policy of the proxy, in a real browser: nothing that they need is blocked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route

from include.staging.partitions import Staging
from include.validation import site
from local import airflow
from tests.browser.conftest import CHROMIUM, PATIENCE_MS, log_in
from tests.conftest import Database
from tests.dags.airflow_home import ROOT
from tests.dags.stored_dags import serve_dags
from tests.firm_keys import KEYRING, write_keyring

pytestmark = [
    pytest.mark.airflow, pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="no browser is here"),
]  # fmt: skip


def read_policy(path: str) -> str:
    """Read the policy of a page of Airflow; those of its sign-on, below /auth, have one of their own."""
    matcher = "sign_on" if path.startswith("/auth") else "pages"
    text = (ROOT / "docker" / "Caddyfile").read_text()
    [policy] = re.findall(rf'header @{matcher} \?Content-Security-Policy "([^"]+)"', text)
    return str(policy)


def add_policy(route: Route) -> None:
    """Answer as the proxy does: with the policy, unless the response has its own."""
    response = route.fetch(max_redirects=0, timeout=PATIENCE_MS)
    policy = read_policy(urlsplit(route.request.url).path)
    route.fulfill(response=response, headers={"content-security-policy": policy} | response.headers)


@pytest.fixture
def pages(
    tmp_path: Path, airflow_database: Path, shared_database: Database, browser: Browser
) -> Iterator[tuple[Page, list[str]]]:
    """A browser that has logged in, and what the policy blocked so far."""
    store = Staging(str(tmp_path / "staging"), KEYRING.staging)
    store.folder(f"{site.PLACE}/b").write("index.html", b"<p>All is well.</p>")
    site.publish(store, site.Site("b/index.html"), site.Site())
    connections = {
        "tributary_staging": json.dumps({"conn_type": "generic", "extra": {"root": str(tmp_path / "staging")}}),
        "tributary_keys": json.dumps({"conn_type": "generic", "password": write_keyring()}),
        "tributary_db": shared_database.url("tributary_web").replace("postgresql://", "postgres://"),
    }
    blocked: list[str] = []

    def collect(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            blocked.append(message.text)

    with serve_dags(tmp_path, airflow_database, connections=connections) as (api, _, _):
        context = browser.new_context(base_url=api.url)
        context.route("**/*", add_policy)
        page = context.new_page()
        page.on("console", collect)
        log_in(page, airflow.USER, "only-for-tests")
        yield page, blocked
        context.unroute_all(behavior="ignoreErrors")
        context.close()


def test_pages_work_and_an_inline_script_does_not_run(pages: tuple[Page, list[str]]) -> None:
    page, blocked = pages
    page.goto("/dags/salesforce/code")
    page.locator(".monaco-editor .view-line").first.wait_for()
    page.get_by_label("Graph").first.click()
    page.locator(".react-flow__node").first.wait_for()
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_text("Dry run").first.wait_for()
    page.goto("/plugin/data-quality")
    page.frame_locator("iframe").get_by_text("All is well.").wait_for()
    assert blocked == []

    script = "const script = document.createElement('script'); script.textContent = 'window.ran = true'; document.body.append(script)"
    assert page.evaluate(f"() => {{ {script}; return window.ran }}") is None
    assert blocked
