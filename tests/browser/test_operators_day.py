"""An operator's day in a browser alone: no SQL, no terminal, and no id is typed. `docs/how-to/operating_a_day.md` describes the same day."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from playwright.sync_api import FrameLocator, Locator, Page, expect, sync_playwright

from include import business_dates
from local import airflow
from local.demo import Demo, Place
from local.processes import find_free_port
from local.sandbox_process import START_SECONDS
from tests.outbound.conftest import HERE, SECRET, Receiver, listening  # noqa: F401

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_S = 600.0
"""Longer than a run takes on a loaded machine, and than an outage lasts until a page shows it (five minutes)."""
DAGS = (
    "orion", "emoney", "salesforce", "approve_salesforce", "replay_dead_letters", "preview_thresholds", "deliver_events",
)  # fmt: skip
OUTAGE = {"route": "/orion/*", "kind": "server_error"}
UNREADABLE = {
    "route": "/orion/api/v1/portfolio/assets", "kind": "poison", "field": "currentShares", "value": "N/A", "share": 0.02, "seed": 5,
}  # fmt: skip

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(CHROMIUM is None, reason="no browser is here"),
]


class Desk:
    """The operator's browser: Airflow with the Operations pages in its frame."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frame: FrameLocator = page.frame_locator("iframe")
        page.on("dialog", lambda dialog: dialog.accept())

    def open(self, *links: str) -> Locator:
        """Select Operations in Airflow's menu, then the links; return the content of the last page."""
        if not self.page.locator("iframe").count():
            self.page.get_by_role("link", name="Operations", exact=True).click()
        for link in links:
            self._wait_until_loaded()
            self.frame.locator("html").evaluate("html => html.dataset.isLeft = true")
            self.frame.get_by_role("link", name=link, exact=True).first.click()
        self._wait_until_loaded()
        return self.frame.locator("main")

    def _wait_until_loaded(self) -> None:
        """Wait for a new page in the frame whose script has run, which sets the theme."""
        self.frame.locator("html[data-theme]:not([data-is-left])").wait_for()

    def find_card(self, title: str) -> Locator:
        return self.frame.locator("section.card").filter(has=self.frame.get_by_role("link", name=title, exact=True))

    def wait_for_text(self, text: str | re.Pattern[str], *links: str, card: str = "") -> None:
        """Open a page again and again until it (or one card of it) has the text."""
        end = time.monotonic() + PATIENCE_S
        while True:
            content = self.open(*links)
            place = self.find_card(card) if card else content
            place.first.wait_for()
            if place.get_by_text(text).count():
                return
            assert time.monotonic() < end, f"{text!r} is not in: {place.inner_text()}"
            self.page.wait_for_timeout(3000)

    def press(self, button: str, outcome: str) -> None:
        """Press a button that starts a run, and wait for the outcome beside it."""
        self.frame.get_by_role("button", name=button).first.click()
        expect(self.frame.get_by_role("status").filter(has_text=outcome).first).to_be_visible()


@pytest.fixture(scope="module")
def place(listening: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:  # noqa: F811
    """A demo that has run no day yet, with a subscriber that wants no events."""
    listening.choose = lambda call: 410
    demo = Demo(
        tmp_path_factory.mktemp("day") / "demo", {name: find_free_port() for name in ("airflow", "sandbox", "org")}
    )
    try:
        place = demo.start(print, households=60)
        subscriber = {
            "connection_id": "portal", "conn_type": "http", "host": listening.url(), "password": SECRET,
            "extra": f'{{"networks": "{HERE}"}}',
        }  # fmt: skip
        place.api._call("POST", "connections", json=subscriber)
        place.api._call("POST", "variables", json={"key": "tributary_subscribers", "value": "portal"})
        for dag_id in DAGS:
            place.api.wait_dag(dag_id, START_SECONDS)
            place.api.unpause(dag_id)
        yield place
    finally:
        demo.remove()


@pytest.fixture
def desk(place: Place) -> Iterator[Desk]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(base_url=place.airflow_url, viewport={"width": 1366, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        expect.set_options(timeout=PATIENCE_S * 1000)
        page.goto("/")
        page.fill("input[name=username]", airflow.USER)
        page.fill("input[name=password]", place.password)
        page.keyboard.press("Enter")
        yield Desk(page)
        browser.close()


def test_an_operators_day(desk: Desk, place: Place, listening: Receiver) -> None:  # noqa: F811
    pull_while_the_vendor_is_down(desk, place)
    find_unreadable_rows(desk)
    decide_approval(desk, "Reject", "37 of Orion's holdings are missing")
    replay_fixed_rows(desk, place)
    sign_off(desk)
    pull_another_vendor(desk)
    approve_everything(desk)
    decide_and_undo_a_pair(desk)
    backfill_a_week(desk)
    change_a_threshold(desk)
    enable_a_subscriber(desk, listening)
    rotate_an_api_key(desk)
    desk.open("Activity")
    desk.frame.get_by_label("Did").select_option("rejected")
    expect(desk.frame.locator("tbody")).to_contain_text("37 of Orion's holdings are missing")


def inject(place: Place, fault: dict[str, object]) -> int:
    response = requests.post(f"{place.sandbox_url}/_sandbox/faults", json=fault, timeout=20)
    response.raise_for_status()
    return int(response.json()["id"])


def remove(place: Place, fault_id: int) -> None:
    requests.delete(f"{place.sandbox_url}/_sandbox/faults/{fault_id}", timeout=20).raise_for_status()


def pull_while_the_vendor_is_down(desk: Desk, place: Place) -> None:
    """Orion returns HTTP 503, then recovers with 2 % unreadable rows; the run waits and continues."""
    outage = inject(place, OUTAGE)
    inject(place, UNREADABLE)
    desk.open("Today")
    card = desk.find_card("Orion Advisor")
    card.get_by_role("button", name="Pull now").click()
    expect(card.get_by_role("status")).to_contain_text(re.compile("queued|running"))
    desk.wait_for_text(re.compile(r"The vendor has not responded for \d minutes?\."), "Today", card="Orion Advisor")
    remove(place, outage)
    desk.wait_for_text("37 rows could not be processed, with $2,039,068.17.", "Today", card="Orion Advisor")
    desk.wait_for_text("explained, off by -$2,039,068.17", "Today", card="Orion Advisor")


def find_unreadable_rows(desk: Desk) -> None:
    desk.open("Dead letters", "Open")
    desk.frame.get_by_role("button", name="Show the content of these rows").click()
    expect(desk.frame.locator("li.bad").first).to_have_text("currentShares (at fault) N/A")
    expect(desk.frame.locator("tbody tr").first).to_contain_text(re.compile("Example|Imaginary|Pretend|Sample"))


def list_requests(desk: Desk) -> list[str]:
    """Return the addresses of the open approval requests."""
    links = desk.open("Salesforce", "Approvals").get_by_role("link", name="Decide", exact=True).all()
    return [link.get_attribute("href") or "" for link in links]


def decide_approval(desk: Desk, option: str, reason: str) -> None:
    """Decide the newest open approval request, and wait until the decision is recorded."""
    end = time.monotonic() + PATIENCE_S
    button = desk.page.get_by_role("button", name=option, exact=True)
    request = ""
    while not button.is_visible():
        assert time.monotonic() < end, "no approval was requested"
        if found := list_requests(desk):
            request = found[0]
            desk.frame.get_by_role("link", name="Decide", exact=True).first.click()
        desk.page.wait_for_timeout(5000)  # a request is listed before its run in Airflow waits for the answer
    if reason:
        desk.page.locator("[name=element_reason]").fill(reason)
    button.click()
    while request in list_requests(desk):
        assert time.monotonic() < end, "the decision was not recorded"
        desk.page.wait_for_timeout(3000)


def replay_fixed_rows(desk: Desk, place: Place) -> None:
    """The vendor corrects the rows; a dry replay shows it, and a replay loads them."""
    requests.delete(f"{place.sandbox_url}/_sandbox/faults", timeout=20).raise_for_status()
    desk.open("Dead letters", "Open")
    desk.frame.get_by_role("button", name="Dry replay").click()
    outcome = desk.frame.locator("section", has_text="Load them").locator(".outcome")
    expect(outcome).to_contain_text(
        "Dry run: 37 rows selected, 37 returned by the vendor, 37 would be loaded, 0 still bad"
    )
    outcome.get_by_role("button", name="Replay 37 rows").click()
    expect(outcome).to_contain_text("Done: 37 rows selected, 37 returned by the vendor, 37 loaded, 0 still bad")
    expect(desk.open("Dead letters")).to_contain_text("No row")


def sign_off(desk: Desk) -> None:
    desk.open("Reconciliation", "Open")
    row = desk.frame.get_by_role("row", name=re.compile("^control total"))
    expect(row).to_contain_text("reconciled")
    desk.frame.get_by_label("Note").fill("Orion corrected 37 rows; replayed")
    desk.frame.get_by_role("button", name="Sign off").click()
    expect(desk.frame.get_by_text(f"Signed off by {airflow.USER}")).to_contain_text("Orion corrected 37 rows; replayed")


def pull_another_vendor(desk: Desk) -> None:
    """Its households and persons resemble Orion's, so some pairs need a decision."""
    desk.open("Today")
    card = desk.find_card("eMoney Advisor")
    card.get_by_role("button", name="Pull now").click()
    expect(card.get_by_role("status")).to_contain_text("Done.")


def approve_everything(desk: Desk) -> None:
    """The rejected change is requested again; after all approvals, nothing is held back."""
    desk.open("Salesforce", "Approvals")
    desk.press("Request rejected changes again", "Run")
    end = time.monotonic() + PATIENCE_S
    while not desk.open("Salesforce", "Held back").get_by_text("The newest sync sent every change.").count():
        assert time.monotonic() < end, desk.frame.locator("main").inner_text()
        if list_requests(desk):
            decide_approval(desk, "Approve", "")
        desk.page.wait_for_timeout(3000)


def decide_and_undo_a_pair(desk: Desk) -> None:
    desk.open("Who is who")
    shown = desk.frame.get_by_text(re.compile(r"^1 of \d+$"))
    total = int(shown.inner_text().rsplit(" ", 1)[1])
    desk.page.keyboard.press("d")
    expect(desk.frame.get_by_text(f"1 of {total - 1}", exact=True)).to_be_visible()
    for frame in desk.page.frames:
        frame.wait_for_load_state("domcontentloaded")
    desk.page.keyboard.press("u")
    expect(desk.frame.get_by_text(f"1 of {total}", exact=True)).to_be_visible()


def backfill_a_week(desk: Desk) -> None:
    last = business_dates.previous(business_dates.latest_closed(datetime.now(UTC)))
    week = [last]
    while len(week) < 5:
        week.insert(0, business_dates.previous(week[0]))
    desk.open("Today", "Orion Advisor", "Backfill")
    desk.frame.get_by_label("From").fill(str(week[0]))
    desk.frame.get_by_label("To").fill(str(last))
    desk.frame.get_by_role("button", name="Preview").click()
    expect(desk.frame.get_by_text("5 business dates, 0 of them loaded.")).to_be_visible()
    desk.frame.get_by_role("button", name="Start the backfill").click()
    expect(desk.frame.locator("#progress")).to_contain_text(re.compile(r"(\d+) of \1 runs done"))
    desk.open("Today", "Orion Advisor")
    for day in week:
        expect(desk.frame.locator(f"li[title^='{day}: loaded']")).to_be_visible()


def change_a_threshold(desk: Desk) -> None:
    desk.open("Findings", "Thresholds of the rules")
    desk.frame.get_by_label("unfunded_days").fill("45")
    desk.frame.get_by_role("button", name="Preview the findings").click()
    expect(desk.frame.locator("#outcome")).to_contain_text("Changed: unfunded_days. Nothing is saved yet.")
    desk.frame.get_by_role("button", name="Save these thresholds").click()
    expect(desk.frame.get_by_role("cell", name=airflow.USER, exact=True)).to_be_visible()


def enable_a_subscriber(desk: Desk, receiver: Receiver) -> None:
    """The receiver answered 410 and was disabled; it is fixed, enabled, and gets the events that waited."""
    desk.open("Events", "Subscribers")
    expect(desk.frame.get_by_role("row", name=re.compile("^portal"))).to_contain_text("disabled")
    receiver.choose = lambda call: 200
    desk.press("Re-enable", "Done.")
    expect(desk.open("Events", "Subscribers").get_by_role("row", name=re.compile("^portal"))).to_contain_text("active")
    assert receiver.accepted()


def rotate_an_api_key(desk: Desk) -> None:
    desk.open("Events", "API keys", "Create a key")
    desk.frame.get_by_label("Name of the program").fill("portal")
    desk.frame.get_by_role("checkbox").first.check()
    desk.frame.get_by_role("button", name="Create the key").click()
    first = desk.frame.locator("code").inner_text()
    desk.open("Events", "API keys")
    desk.frame.get_by_role("button", name="Rotate").click()
    expect(desk.frame.locator("code")).not_to_have_text(first)
    expect(desk.open("Events", "API keys").locator("tbody tr")).to_have_count(2)
