"""The page of a sync's changes: complete, readable, and escaped."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from include.crm.sync import difference
from include.crm.sync.delta import Change, Delta
from include.crm.sync.guard import Concern
from include.crm.sync.preview import Preview, preview
from include.staging.partitions import Staging
from tests.crm.conftest import Crm
from tests.firm_keys import KEYRING

EVIL = "<script>alert('1')</script> & \"Sons\""
DELTA = Delta(1200, 34, 5678, refused=9, held=100, notable=1234, closing=26)


class Texts(HTMLParser):
    """Collects the tags and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def render(*changes: Change, run_id: str = "a-run", concerns: tuple[Concern, ...] = ()) -> Texts:
    return Texts(difference.render(run_id, Preview({"household": DELTA}, {"household": changes}, list(concerns))))


def test_values_are_shown_as_they_are_and_never_run() -> None:
    page = render(Change(EVIL, EVIL, EVIL, EVIL), run_id=EVIL, concerns=(Concern("a", "change", 1, EVIL),))

    assert "script" not in page.tags
    assert page.texts.count(EVIL) == 5
    assert page.texts.count(f"What would change in Salesforce: {EVIL}") == 2


def test_it_counts_by_object() -> None:
    row = ["household", "1,200", "34", "5,678", "9", "26"]

    texts = render().texts

    assert texts[texts.index("household") :][: len(row)] == row


def test_it_names_the_changes_to_approve() -> None:
    assert "26 accounts would close" in render(concerns=(Concern("a", "close", 26, "26 accounts would close"),)).texts


def test_a_change_is_shown_field_by_field() -> None:
    texts = render(Change("k", "BillingCity", "Old Town", "New Town")).texts

    assert texts[texts.index("k") :] == ["k", "BillingCity", "Old Town", "New Town"]


def test_an_empty_field_is_shown_empty() -> None:
    page = difference.render("r", Preview({}, {"household": [Change("k", "Name", None, None)]}, []))

    assert "<span title='k'>k</span></td><td>Name</td><td></td><td></td>" in page


def test_a_record_is_shown_by_its_name_and_linked_to_the_org() -> None:
    known = Change("demo:orion:household:7", "BillingCity", "Old", "New", "Sample Family", "001A")
    new = Change("demo:orion:household:8", "BillingCity", None, "New", "New Family")
    page = difference.render("r", Preview({}, {"household": [known, new]}, []), "https://firm.example")

    assert "<a href='https://firm.example/001A'" in page
    assert "title='demo:orion:household:7'>Sample Family</span></a>" in page
    assert "<td><span title='demo:orion:household:8'>New Family</span></td>" in page


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(str(tmp_path), KEYRING.staging)


def test_pages_are_listed_the_newest_first(staging: Staging, tmp_path: Path) -> None:
    assert difference.list_pages(staging) == []
    for number, run in enumerate(("first", "second", "third")):
        page = tmp_path / difference.PLACE / difference.write(staging, run, Preview({}, {}, []))
        os.utime(page, (number, number))
    assert [name for name, _ in difference.list_pages(staging, 2)] == [
        "salesforce-third.html",
        "salesforce-second.html",
    ]


def test_an_object_of_which_nothing_changes_has_no_table_of_changes() -> None:
    assert render().tags.count("table") == 1


def test_its_name_holds_nothing_that_a_path_could_mind(staging: Staging) -> None:
    name = difference.write(staging, "manual__2026-11-20T23:00:00+00:00/../x y", Preview({}, {}, []))

    assert re.fullmatch(r"salesforce-[A-Za-z0-9_.-]+\.html", name)
    assert [page for page, _ in difference.list_pages(staging)] == [name]


def test_characters_of_every_alphabet_are_preserved(staging: Staging) -> None:
    name = difference.write(staging, "r", Preview({}, {"household": [Change("k", "Name", None, "École 学校 🏦")]}, []))

    assert "École 学校 🏦" in difference.read_page(staging, name).decode()


def test_it_names_the_vendor_of_held_back_records() -> None:
    page = difference.render("r", Preview({}, {}, [], {"plans": datetime(2026, 11, 20, 5, tzinfo=UTC)}))

    assert "records of plans, whose newest day is not reconciled since 2026-11-20 05:00 UTC" in page


def test_a_real_preview_is_whole(crm: Crm) -> None:
    crm.database.do("update warehouse.household set name = '<b>Sample</b> & Co'")

    page = Texts(difference.render("r", preview(crm.engine, crm.settings, keys=2)))

    assert "<b>Sample</b> & Co" in page.texts
    assert "b" not in page.tags
    assert {"household", "position"} <= set(page.texts)
