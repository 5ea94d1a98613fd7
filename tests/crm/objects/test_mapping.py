"""Texts as they are sent: no spreadsheet runs one as a formula, and numbers and phone numbers stay as they are."""

from __future__ import annotations

import pytest

from include.crm.objects.mapping import text
from include.crm.sync.readback import read_back
from tests.conftest import Database
from tests.crm.conftest import Crm

FORMULA = '=HYPERLINK("https://evil.example","Sample")'


def send(database: Database, value: str | None, length: int = 80) -> str | None:
    """Return what a text field of Salesforce gets for a text of the warehouse."""
    return database.value(f"select {text('Name', 'cast(:value as text)', length).sql}", value=value)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "value",
    [FORMULA, "=1+1", "@SUM(1)", "+1+1", "-1+cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "- Joint", "\t=1+1", "\r=1+1",
     "\n=1+1", "\x01x", "+1 555 0100\n=1+1"],
)  # fmt: skip
def test_a_text_that_could_be_a_formula_gets_an_apostrophe(shared_database: Database, value: str) -> None:
    assert send(shared_database, value) == f"'{value}"


def test_blanks_before_a_formula_do_not_hide_it(shared_database: Database) -> None:
    assert send(shared_database, "  =1+1 ") == "'=1+1"


def test_the_apostrophe_counts_in_the_length(shared_database: Database) -> None:
    assert send(shared_database, "=1+1", length=4) == "'=1+"


@pytest.mark.parametrize(
    "value",
    ["+1 555 0100", "+1 (555) 010-0100", "+44 20 7946.0958", "+1-555-0100 ext. 5", "+1-555-0100x5", "-5", "-1,234.56", "-",
     "--", "Sample = Sons", "A-B", "a@b.example", "École", "'=1+1", None],
)  # fmt: skip
def test_any_other_text_stays_as_it_is(shared_database: Database, value: str | None) -> None:
    assert send(shared_database, value) == value


def test_a_formula_is_sent_once_and_no_read_back_finds_it(crm: Crm) -> None:
    crm.database.do("update warehouse.household set name = :name, phone = '+1 555 0100'", name=FORMULA)
    crm.database.do("update warehouse.security set name = '=1+1'")
    crm.sync()

    households = crm.records("Account", "household").values()
    assert {(each["Name"], each["Phone"]) for each in households} == {(f"'{FORMULA}", "+1 555 0100")}
    assert crm.sent() == {}
    assert all(each.is_as_believed for each in read_back(crm.org, "read", lambda _: None).values())
    assert crm.sent() == {}
