"""Texts as they are sent: no spreadsheet runs one as a formula, and numbers and phone numbers stay as they are."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from include.crm.objects import rows
from include.crm.objects.mapping import CrmObject, Field, text
from include.crm.objects.portfolio import list_mappings, list_ways
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
    assert all(each.is_as_expected for each in read_back(crm.org, "read", lambda _: None).values())
    assert crm.sent() == {}


LITERAL = re.compile(r"(?:^\s*|\bthen\s+|\belse\s+)'((?:[^']|'')*)'(?=::text$|\s+(?:when|else|end)\b|$)")
DECLARED = [
    pytest.param(field, id=f"{settings.shape} {mapping.entity} {field.name}")
    for settings in list_ways()
    for mapping in list_mappings(settings)
    for field in mapping.fields
    if field.values or LITERAL.search(field.sql)
]


@pytest.mark.parametrize("field", DECLARED)
def test_every_value_in_the_sql_is_declared(field: Field) -> None:
    stated = {value for value in LITERAL.findall(field.sql) if value}
    assert stated <= {*field.values}
    assert not field.values or (field.when_gone or field.values[0]) in field.values


@pytest.mark.synced
def test_every_value_that_was_sent_is_declared(crm: Crm) -> None:
    settings = replace(crm.settings, has_transactions=True)
    fields = [(mapping, field) for mapping in list_mappings(settings) for field in mapping.fields if field.values]
    # Of fields that are written once, only the first sync knows the values.
    before = [read_sent(crm, mapping, field) for mapping, field in fields]
    crm.sync(settings=settings)
    sent = [first | read_sent(crm, mapping, field) for (mapping, field), first in zip(fields, before, strict=True)]
    for (_, field), values in zip(fields, sent, strict=True):
        assert values <= {*field.values}, field.name
    assert sum(map(len, sent)) >= 12


def read_sent(crm: Crm, mapping: CrmObject, field: Field) -> set[str]:
    """Return the values of a field that Salesforce accepted last."""
    query = "select distinct payload ->> :name as value from control.crm_state where sobject = :sobject and external_key like :keys"
    keys = f"%:{'person' if mapping.entity == 'contact' else mapping.entity}:%"
    rows = crm.database.rows(query, name=field.name, sobject=mapping.sobject, keys=keys)
    return {row["value"] for row in rows if row["value"] is not None}


def test_a_person_who_is_twice_an_owner_of_an_account_is_one_party(crm: Crm) -> None:
    [owner] = crm.database.rows(
        "select * from warehouse.account_owner where recorded_to is null and valid_to is null limit 1"
    )
    crm.database.do(
        """
        insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, person_id, legal_entity_id, role,
                                             valid_from, recorded_from, source_run_id)
        select 1e9, vendor, 'twice', account_id, household_id, person_id, legal_entity_id, 'joint', valid_from, recorded_from, source_run_id
        from warehouse.account_owner where account_owner_key = :key and account_id = :account and recorded_to is null and valid_to is null
        """,
        key=owner["account_owner_key"],
        account=owner["account_id"],
    )
    query = f"select nth from {rows.ACCOUNT_OWNER.source} where {rows.ACCOUNT_OWNER.where} and o.account_id = :account and o.person_id = :person"
    found = crm.database.rows(query, account=owner["account_id"], person=owner["person_id"])
    assert len(found) == 1
