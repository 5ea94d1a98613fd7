"""A sensitive value in a field that is not declared as sensitive is masked.

A tax id is found in free text, in a shifted column, in a dead row, and in a field's name; an account number in the texts of its own row.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contract import STRING, column
from include.extract.csv_page import CsvReader
from include.extract.page import Page, PageReader
from include.sensitive import MAY_HOLD_TAX_ID, mask_digits, mask_tax_ids
from tests.extract.reading import REDACTOR, SSN, TABLE, read, row, values

KEYED = replace(TABLE, key=("row_id", "name"))


def everything(page: Page) -> str:
    return str((page.rows.to_pylist(), page.dead, page.undeclared))


def test_in_free_text_it_is_masked_and_its_row_loads() -> None:
    page = read([row(fullName=f"Pat Sample, {SSN}"), row(fullName="SSN: 123456789 (old)"), row(fullName="Sam 12-3456")])
    assert values(page, "name") == ["Pat Sample, ***-**-6789", "SSN: *****6789 (old)", "Sam 12-3456"]


@pytest.mark.parametrize(
    "text",
    ["SSN123-45-6789", "ssn_123-45-6789", "123-45-6789_old", "SSN is 123456789", "TIN number 123456789", "Taxpayer ID 123456789",
     '[{"ssn": "123456789"}]', "social security no. 123456789", "123-45-6789 123-45-6789,123-45-6789"],
)  # fmt: skip
def test_whatever_stands_beside_it_it_is_masked(text: str) -> None:
    [masked] = values(read([row(fullName=text)]), "name")
    assert masked == mask_tax_ids(text)
    assert not re.search(r"\d{5}", masked.replace("-", ""))


def test_a_dead_row_stays_json() -> None:
    page = read([row(1, amount="12,34", fullName='{"tin": 123456789, "list": [{"ssn": "123-45-6789"}]}')])
    assert json.loads(page.dead[0].raw)["amount"] == "12,34"


def test_in_a_declared_column_it_is_hashed_as_before() -> None:
    page = read([row(ssn=SSN, fullName=SSN)])
    assert values(page, "tax_id_hash") == [REDACTOR.split(SSN)[0]]
    assert SSN not in everything(page)


@pytest.mark.parametrize("field", ["dob", "isActive", "units", "editedDate"])
@pytest.mark.parametrize("value", [SSN, "123456789", 123456789, " 123456789", "123 45 6789"])
def test_in_a_column_that_can_not_hold_it_the_dead_row_is_masked(field: str, value: Any) -> None:
    page = read([row(1, **{field: value}), row(2)])
    if field == "units" and value in (123456789, "123456789", " 123456789"):
        assert page.dead == ()  # a quantity may have nine digits
        return
    assert len(page.dead) == 1
    assert "6789" in page.dead[0].raw
    assert not re.search(r"123[- ]?45[- ]?6789", everything(page))


def test_in_another_field_of_a_dead_row_it_is_masked() -> None:
    page = read([row(1, amount="12,34", fullName=f"Pat {SSN}")])
    assert len(page.dead) == 1
    assert "***-**-6789" in page.dead[0].raw
    assert SSN not in everything(page)


def test_in_a_key_its_row_is_dead_and_has_no_key() -> None:
    reader = PageReader(KEYED, REDACTOR, (), "UTC", "vendor")
    page = reader.read(f'[{{"id": 1, "amount": 1, "fullName": "{SSN}"}}]'.encode())
    [dead] = page.dead
    assert (dead.key, dead.reasons) == (None, ("fullName: not a key",))
    assert SSN not in everything(page)


def test_in_the_name_of_an_undeclared_field_it_is_masked() -> None:
    assert read([row(**{SSN: "x"})]).undeclared == {"***-**-6789"}


def test_in_a_report_it_is_masked() -> None:
    table = replace(TABLE, columns=(column("row_id", "id", STRING, required=True), column("name", "fullName", STRING)))
    reader = CsvReader(table, REDACTOR, (), "UTC", "vendor")
    [page] = reader.read_file(f"id,fullName\n1,Pat {SSN}\n".encode())
    assert values(page, "name") == ["Pat ***-**-6789"]


# --- the value of the same row ---

ACCOUNT = "ab1234-5678"


@pytest.mark.parametrize("text", ["IRA ab1234-5678 (old)", "IRA AB12345678 (old)", "IRA AB 1234 5678 (old)"])
def test_the_value_of_the_same_row_is_masked_whatever_its_separators(text: str) -> None:
    page = read([row(1, ssn=ACCOUNT, fullName=text), row(2, ssn="99998888", fullName="IRA ab1234-5678"), row(3)])
    assert values(page, "name") == ["IRA ******5678 (old)", "IRA ab1234-5678", None]


def test_the_value_of_a_dead_row_is_masked() -> None:
    page = read(
        [row(1, amount="12,34", ssn=ACCOUNT, fullName=f"IRA {ACCOUNT}"), row(2, ssn=123456789, dob="123456789")]
    )
    assert json.loads(page.dead[0].raw)["fullName"] == "IRA ******5678"
    assert json.loads(page.dead[1].raw)["dob"] == "*****6789"


@pytest.mark.parametrize("value", ["1234567", "Outside account", "XXX-1234-5678"])
def test_a_value_that_may_be_ordinary_words_is_not_searched_for(value: str) -> None:
    assert values(read([row(ssn=value, fullName=f"The {value}")]), "name") == [f"The {value}"]


def test_a_key_that_is_the_value_of_its_row_stays() -> None:
    page = PageReader(KEYED, REDACTOR, (), "UTC", "vendor").read(
        json.dumps([row(ssn="12345678", fullName="12345678")]).encode()
    )
    assert values(page, "name") == ["12345678"]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-28",
        '{"tin":123456789}',  # masked, it would not be JSON
        "Martin 123456789",
        "555-123-4567",
        "123-456-789",
        "12-3456789",
        "037833100",
        "ACC-123-45-67890",
        "1123-45-6789",
        "60601-1234",
        "tint 5",
    ],
)
def test_other_numbers_stay_as_they_are(text: str) -> None:
    assert mask_tax_ids(text) == text
    assert values(read([row(fullName=text)]), "name") == [text]


@pytest.mark.parametrize("value", [12345678, 1234567890, "12345678", True, None, 1.5, "12345678x"])
def test_only_nine_digits_are_masked_in_a_wrong_column(value: object) -> None:
    assert mask_digits(value) is value


TEXTS = st.lists(
    st.sampled_from(
        [
            "123-45-6789",
            "987654321",
            "SSN",
            "Tax ID",
            "social security number",
            "tin",
            " ",
            ": ",
            "#",
            "x",
            "-",
            "1",
            "é",
        ]
    ),
    max_size=8,
).map("".join)


@given(TEXTS)
def test_arrow_masks_what_python_masks(text: str) -> None:
    assert values(read([row(fullName=text)]), "name") == [mask_tax_ids(text)]
    if mask_tax_ids(text) != text:
        assert pc.match_substring_regex(pa.array([text]), MAY_HOLD_TAX_ID).to_pylist() == [True]
    assert mask_tax_ids(mask_tax_ids(text)) == mask_tax_ids(text)
