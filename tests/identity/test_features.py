"""Normalized fields."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from include.identity.features import read_features, read_street
from include.identity.placeholder import MOST_ALIKE, MOST_BORN
from local.bench.street_lines import LINES
from tests.identity.rows import ADAM, persons


def one(**fields: Any) -> dict[str, Any]:
    [row] = read_features(persons(fields))[0].to_pylist()
    return row


@pytest.mark.parametrize(("line", "house", "street", "unit"), [*LINES, ("", None, None, None)])
def test_street_is_number_name_and_unit(line: str, house: str | None, street: str | None, unit: str | None) -> None:
    assert read_street(line) == (house, street, unit)


@pytest.mark.parametrize("phone", ["(402) 555-0101", "+1 402.555.0101", "4025550101", "402-555-0101 ext. 12"])
def test_phone_is_ten_digits(phone: str) -> None:
    assert one(phone=phone)["phone"] == "4025550101"


@pytest.mark.parametrize(
    "field",
    [
        {"phone": "555-0101"},
        {"phone": "(999) 999-9999"},
        {"email": "none"},
        {"email": "No-Email@firm.example"},
        {"tax_id": "000-00-0000"},
        {"birth_date": date(1900, 1, 1)},
    ],
)
def test_placeholder_is_ignored(field: dict[str, Any]) -> None:
    row = one(**field)
    assert {row[name] for name in ("phone", "email", "tax", "birth")} == {None}


def test_value_shared_by_all_records_is_ignored() -> None:
    table, _ = read_features(
        persons(*[{"email": "office@mail.example"}] * (MOST_ALIKE + 1), {"email": "adam@mail.example"})
    )
    assert set(table["email"].to_pylist()) == {None, "adam@mail.example"}


def test_overrepresented_birth_date_is_ignored() -> None:
    born = [{"birth_date": date(1950, 1, 1) + timedelta(days=at)} for at in range(MOST_BORN * 2)]
    rows = read_features(persons(*[{"birth_date": date(1970, 1, 1)}] * (MOST_BORN + 1), *born))[0]["birth"].to_pylist()
    assert "19700101" not in rows
    assert len(set(rows) - {None}) == len(born)


def test_end_of_a_tax_id_is_of_nine_digits_or_unknown() -> None:
    assert one(tax_id="901-23-4567")["tax_last4"] == "4567"
    assert one(tax_id="901-23-456")["tax_last4"] is None


def test_joint_record_is_two_people_and_the_first_one_has_the_birth_date() -> None:
    first, second = read_features(persons({**ADAM, "name": "Adam & Bea Specimen", "first_name": None}))[0].to_pylist()
    assert (first["record_id"], first["first"], first["birth"]) == (1, "adam", "19510314")
    assert (second["record_id"], second["first"], second["birth"]) == (-1, "bea", None)
    assert first["street"] == second["street"]


def test_family_name_alone_is_no_given_name() -> None:
    record = one(last_name="Gordon")
    assert (record["first"], record["last"]) == (None, "gordon")


def test_keys_of_households_and_accounts_are_not_a_persons() -> None:
    row = one(strong_keys=["crm:household:1", "custodian:account:2", "crm:person:3", "0035e00000abc"])
    assert row["shared_keys"] == ["crm:household:1", "custodian:account:2"]
    assert row["person_keys"] == ["crm:person:3", "0035e00000abc"]
