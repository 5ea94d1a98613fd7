"""A retained value is sealed while its page is read, and only if it is a clear value; dead letters have its token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.contract import INTEGER, STRING, Column, Table, column
from include.errors import ConfigurationError
from include.extract.conflict import separate
from include.extract.page import Page, PageReader
from include.keys.keyring import OPENING, Keyring, generate_value_key
from tests.firm_keys import KEYRING, write_keyring

PUBLIC, PRIVATE = generate_value_key("test")
REDACTOR = Keyring.parse(f"{write_keyring()} {PUBLIC}").redactor
OPENER = Keyring.parse(PRIVATE, (OPENING,)).opener
TABLE = Table(
    name="persons",
    path="persons",
    key=("person_id",),
    columns=(
        column("person_id", "id", INTEGER, required=True),
        column("name", "name", STRING),
        Column("tax_id", "taxId", STRING, kind="retained"),
    ),
)
VALUE = "123-45-6789"


def read(*rows: dict[str, Any]) -> Page:
    return PageReader(TABLE, REDACTOR).read(json.dumps(rows).encode())


def test_value_is_sealed_beside_its_hash_as_the_vendor_sent_it() -> None:
    [row] = read({"id": 1, "taxId": VALUE}).rows.to_pylist()
    assert OPENER.open(row["tax_id_sealed"]) == VALUE
    assert row["tax_id_hash"] == KEYRING.redactor.split(VALUE)[0]
    assert b"6789" not in row["tax_id_sealed"]


@pytest.mark.parametrize("value", [None, "", " - ", "***-**-6789", "ending in 6789", KEYRING.redactor.token(VALUE)])
def test_value_that_is_not_clear_is_not_sealed(value: str | None) -> None:
    [row] = read({"id": 1, "taxId": value}).rows.to_pylist()
    assert row["tax_id_sealed"] is None


def test_equal_rows_are_no_conflict_although_their_sealed_values_differ() -> None:
    rows = [{"id": 1, "taxId": VALUE, "name": "A"}]
    pages = [read(*rows).rows["tax_id_sealed"][0].as_py() for _ in range(2)]
    assert pages[0] != pages[1]
    page = read(*rows, {**rows[0], "taxId": VALUE.replace("-", "")})  # another spelling is sealed by itself
    assert separate(page, TABLE) is page


def test_dead_letter_has_the_token_and_no_value() -> None:
    [row] = read({"id": "x", "taxId": VALUE}).dead
    assert json.loads(row.raw)["taxId"] == KEYRING.redactor.token(VALUE)
    assert VALUE not in row.raw


def test_pull_fails_without_a_key_that_seals() -> None:
    reader = PageReader(TABLE, KEYRING.redactor)
    assert reader.read(b'[{"id": 1, "name": "A"}]').rows.num_rows == 1
    with pytest.raises(ConfigurationError, match="no `value` key"):
        reader.read(json.dumps([{"id": 1, "taxId": VALUE}]).encode())
