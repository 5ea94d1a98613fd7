"""A CSV file to typed rows: ornaments of numbers are removed, every digit stays, and one bad cell costs one row."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Table,
    column,
    ignored,
    sensitive,
)
from include.errors import SchemaDrift, VendorUnavailable
from include.extract import csv_page
from include.extract.csv_page import CsvReader
from include.extract.page import DeadRow, Page, PageReader
from tests.extract.vendor_server import REDACTOR

TABLE = Table(
    "rows", "reports", ("row_id",), dates="us",
    columns=(
        column("row_id", "Row Id", INTEGER, required=True),
        column("amount_usd", "Amount", MONEY, rounded=True),
        column("quantity", "Units", QUANTITY),
        column("name", "Name", STRING),
        column("is_active", "Active", BOOLEAN),
        column("born_date", "Born", DATE),
        column("edited_at", "Edited", TIMESTAMP),
        sensitive("tax_id", "SSN"),
        *ignored("Junk"),
    ),
)  # fmt: skip
HEADER = "Row Id,Amount,Units,Name,Active,Born,Edited,SSN,Junk"
SSN = "123-45-6789"


def pages_of(content: bytes, reader: CsvReader | None = None) -> list[Page]:
    return list((reader or CsvReader(TABLE, REDACTOR, vendor="testbank")).read_file(content))


def read(*lines: str, header: str = HEADER) -> tuple[list[dict[str, Any]], list[DeadRow]]:
    """Read a file of these lines; return its good and its dead rows."""
    pages = pages_of("\n".join((header, *lines, "")).encode())
    return [row for page in pages for row in page.rows.to_pylist()], [dead for page in pages for dead in page.dead]


def amounts(*cells: str) -> list[Decimal | None]:
    good, dead = read(*(f'{n},"{cell}",,,,,,,' for n, cell in enumerate(cells)))
    assert [row.raw for row in dead] == []
    return [row["amount_usd"] for row in good]


def archive(*files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for n, content in enumerate(files):
            zipped.writestr(f"{n}.csv", content)
    return buffer.getvalue()


# --- cells ---


def test_every_kind_of_cell_becomes_its_type() -> None:
    [row], dead = read(f'7,"$1,234.50",1.00000001,"a, ""b""",true,11/20/2026,2026-11-20T08:30:00-06:00,{SSN},left')
    hashed, last4 = REDACTOR.split(SSN)
    assert row == {
        "row_id": 7, "amount_usd": Decimal("1234.50"), "quantity": Decimal("1.00000001"), "name": 'a, "b"',
        "is_active": True, "born_date": date(2026, 11, 20), "edited_at": datetime(2026, 11, 20, 14, 30, tzinfo=UTC),
        "tax_id_hash": hashed, "tax_id_last4": last4,
    }  # fmt: skip
    assert dead == []


def test_empty_cell_is_null() -> None:
    [row], _ = read("7,,,,,,,,")
    assert row == dict.fromkeys(row) | {"row_id": 7}


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("1,234,567.89", "1234567.89"), ("$1,234.50", "1234.50"), ("$ 22.00", "22.00"), ("( 5.00 )", "-5.00"), ("(12.50)", "-12.50"),
        ("($1,012.50)", "-1012.50"), ("-$5", "-5.00"), (" 8 ", "8.00"), (".5", "0.50"), ("1234.5600", "1234.56"), ("123456789012345678.99",
        "123456789012345678.99"),
    ],
)  # fmt: skip
def test_ornaments_of_a_number_go(cell: str, amount: str) -> None:
    assert amounts(cell) == [Decimal(amount)]


@settings(deadline=None)
@given(st.lists(st.integers(-(10**18), 10**18).map(lambda n: Decimal(n).scaleb(-2)), min_size=1, max_size=8))
def test_money_with_thousands_commas_comes_back_to_the_cent(expected: list[Decimal]) -> None:
    assert amounts(*(f"{each:,.2f}" for each in expected)) == expected
    assert amounts(*(f"(${-each:,.2f})" if each < 0 else f"${each:,.2f}" for each in expected)) == expected


NUMBERS = st.one_of(
    st.from_regex(r"\A-?\d{1,12}(\.\d{1,2})?\Z", fullmatch=True).map(lambda text: "".join(ascii_digits(text))),
    st.sampled_from(["007", "-007.50", ".5", "5.", "1E2", "+5", "00", "-0", "0.10", "1e-2"]),
)
FLAGS = st.sampled_from(["true", "false", "True", "FALSE", "1", "0", ""])


def ascii_digits(text: str) -> list[str]:
    return [str(int(c)) if c.isdigit() else c for c in text]


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, FLAGS), min_size=1, max_size=5))
def test_bad_neighbour_changes_nothing_of_a_row(cells: list[tuple[str, str]]) -> None:
    """One bad row makes the reader parse row by row; the good rows must read the same as in a clean file."""
    lines = [f"{n},{number},,,{flag},,,," for n, (number, flag) in enumerate(cells)]
    for line in lines:
        alone, dead_alone = read(line)
        beside, dead = read("99,N/A,,,,,,,", line)
        assert (beside, [row.reasons for row in dead[1:]]) == (alone, [row.reasons for row in dead_alone])


def test_bad_number_is_one_dead_letter_that_names_its_field() -> None:
    good, [dead] = read(
        "1,2.00,,x,true,,,,", f"2,N/A,1,y,false,11/20/2026,,{SSN},secret junk", "3,3.00,,z,,,,,"
    )  # fmt: skip
    assert [row["row_id"] for row in good] == [1, 3]
    assert [row["is_active"] for row in good] == [True, None]
    assert (dead.key, dead.reasons) == ("2", ("Amount: not decimal(20,2): A/A",))
    assert SSN not in dead.raw
    assert "secret junk" not in dead.raw
    assert REDACTOR.token(SSN) in dead.raw


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",1,,,,,,,", "Row Id: missing"), ("x,1,,,,,,,", "Row Id: not int64: a"), ("1,1,,,maybe,,,,", "Active: not bool"),
        ("1,1,,,,13/45/2026,,,", "Born: not date"), ("1,1,,,,,soon,,", "Edited: not timestamp"),
        ("1,1,1.123456789,,,,,,", "Units: 9 decimals, 8 declared"), ("1,,,a\0b,,,,,", "Name: not string"),
        ("1,99999999999999999999.00,,,,,,,", "Amount: not decimal(20,2): 99999999999999999999.99"), ("1,NaN,,,,,,,", "Amount: not decimal(20,2): AaA"),
        ("1.5,1,,,,,,,", "Row Id: not int64: 9.9"),
    ],
)  # fmt: skip
def test_cell_that_is_not_of_its_type_kills_its_row_alone(line: str, reason: str) -> None:
    good, [dead] = read("8,8.00,,x,true,,,,", line, "9,9.00,,y,false,,,,")
    assert [row["row_id"] for row in good] == [8, 9]
    assert dead.reasons == (reason,)


def test_text_keeps_spaces_commas_line_breaks_and_what_looks_like_a_number() -> None:
    good, _ = read('1,,," a\n b",,,,,', "2,,,007,,,,,", '3,,,"$1,000",,,,,')
    assert [row["name"] for row in good] == [" a\n b", "007", "$1,000"]


# --- columns ---


def test_columns_come_in_any_order() -> None:
    [row], _ = read("x,7", header="Name,Row Id")
    assert (row["row_id"], row["name"]) == (7, "x")


def test_undeclared_column_is_reported_and_a_missing_one_is_unseen() -> None:
    reader = CsvReader(TABLE, REDACTOR, vendor="testbank")
    [page] = pages_of(f"{HEADER},Amount USD\n1,,,,,,,,,2.00\n".encode(), reader)
    assert (page.undeclared, reader.unseen) == ({"Amount USD"}, set())
    [page] = pages_of(b"Row Id,Junk\n1,x\n", reader := CsvReader(TABLE, REDACTOR, vendor="testbank"))
    assert page.rows.column("amount_usd").to_pylist() == [None]
    assert reader.unseen == {"Amount", "Units", "Name", "Active", "Born", "Edited", "SSN"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Row Id,Amount,Amount", "names a column twice.*expected=Row Id,Amount.*found=Row Id,Amount,Amount"),
        ("Name,Amount,Units", "Required columns are missing from the report.*found=Name,Amount,Units"),
        ("Row Id,Amount USD,Units", "undeclared ones: renamed.*expected=Row Id,Amount,.*found=Row Id,Amount USD,Units"),
        ("A,B,C,D,E,F,G,H,I", "other names, or lines before it.*found=A,B,C,D,E,F,G,H,I"),
        ("Row Id;Amount;Units", "separated by semicolons, expected commas"),
        ("Row Id\tAmount\tUnits", "separated by tabs"),
        ("Holdings as of 2026-11-20", "lines before it.*found=Aaaaaaaa aa aa 9999-99-9"),
    ],
)  # fmt: skip
def test_header_that_is_not_the_declared_one_is_drift_that_lists_both(header: str, message: str) -> None:
    for lines in ([], ["1,2,3"]):
        with pytest.raises(SchemaDrift, match=message):
            read(*lines, header=header)


def test_line_in_place_of_the_header_is_not_shown() -> None:
    for line in (f"7,1.00,Ada Sample,{SSN}", "Prepared for Ada Sample"):
        with pytest.raises(SchemaDrift) as raised:
            read("1,2,3,4", header=line)
        assert not [word for word in ("Ada", "Sample", SSN, "1.00") if word in str(raised.value)]


@pytest.mark.parametrize("footer", ["Total", "Rows: 2,2", "x,1,2,3,4,5,6,7,8,9,10"])
def test_line_of_more_or_fewer_cells_is_drift(footer: str) -> None:
    with pytest.raises(SchemaDrift, match=r"more or fewer cells than its header.*lines=1 cells=.* expected=9"):
        read("1,2.00,,x,,,,,", footer)


# --- files ---


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_byte_order_mark_and_line_ends_do_not_count(end: str) -> None:
    text = (end or "\n").join((HEADER, "1,2.00,,x,,,,,")) + end
    for mark in ("", "\ufeff"):
        [page] = pages_of((mark + text).encode())
        assert page.rows.column("row_id").to_pylist() == [1]
        assert page.undeclared == frozenset()


def test_file_of_a_header_alone_holds_no_rows() -> None:
    [page] = pages_of(f"{HEADER}\n".encode())
    assert (page.rows.num_rows, page.dead) == (0, ())


def test_archive_of_one_file_is_its_file() -> None:
    plain = f"{HEADER}\n1,2.00,,x,,,,,\n".encode()
    assert pages_of(archive(plain)) == pages_of(plain)


@pytest.mark.parametrize("files", [(), (b"Row Id\n1\n", b"Row Id\n2\n")])
def test_archive_that_does_not_hold_one_file_is_refused(files: tuple[bytes, ...]) -> None:
    with pytest.raises(VendorUnavailable, match="archive"):
        pages_of(archive(*files))


WHOLE = archive(("Row Id,Amount\n" + "".join(f"{n},{n * 7919 % 1000}.50\n" for n in range(300))).encode())


@settings(deadline=None)
@given(st.integers(2, len(WHOLE) - 1))
def test_truncated_archive_is_requested_again(length: int) -> None:
    with pytest.raises(VendorUnavailable, match=r"archive.*vendor=testbank table=rows"):
        pages_of(WHOLE[:length])


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_damaged_archive_is_read_completely_or_requested_again(place: int, change: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] ^= change
    try:
        pages = pages_of(bytes(damaged))
    except VendorUnavailable:
        return
    assert [n for page in pages for n in page.rows.column("row_id").to_pylist()] == list(range(300))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", b"<html><body>Back soon.</body></html>", b"Row Id,Amount\n1,2.00\n2", b'Row Id,Name\n1,"x\n2,y\n',
        "Row Id,Name\n1,x\n".encode("utf-16"), "Row Id,Name\n1,é\n".encode("latin-1"),
    ],
)  # fmt: skip
def test_invalid_or_truncated_csv_is_requested_again(content: bytes) -> None:
    with pytest.raises(VendorUnavailable, match=r"(no CSV|cut short).*vendor=testbank table=rows"):
        pages_of(content)


def test_long_file_comes_in_pieces_in_order_and_a_bad_row_hurts_its_piece_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_page, "_PIECE_ROWS", 10)
    lines = [f"{n},{'N/A' if n == 13 else n},,,,,,," for n in range(25)]
    pages = pages_of("\n".join((HEADER, *lines)).encode())
    assert [page.rows.num_rows for page in pages] == [10, 9, 5]
    assert [dead.key for page in pages for dead in page.dead] == ["13"]
    assert [n for page in pages for n in page.rows.column("row_id").to_pylist()] == [n for n in range(25) if n != 13]


def test_file_and_page_of_the_same_rows_are_staged_the_same() -> None:
    body = b'[{"Row Id":1,"Amount":2.50,"Name":"x","Active":true},{"Row Id":2,"Amount":null,"Name":null,"Active":null}]'
    [page] = pages_of(b"Row Id,Amount,Name,Active\n1,2.50,x,true\n2,,,\n")
    assert page.rows == PageReader(TABLE, REDACTOR).read(body).rows
