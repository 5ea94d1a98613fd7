"""Values as read to the types of their columns: dates, times and sensitive values."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.extract.page import PageReader
from tests.extract.reading import REDACTOR, SSN, TABLE, read, row, values

# --- dates ---


def test_date_is_the_day_that_the_vendor_writes_whatever_its_offset() -> None:
    page = read([row(dob="2026-11-20T00:00:00-06:00"), row(dob="2026-11-20T23:59:59Z"), row(dob="2026-11-20")])
    assert values(page, "born_date") == [date(2026, 11, 20)] * 3


def test_times_become_utc_with_and_without_offset_and_with_seven_digits() -> None:
    page = read(
        [
            row(editedDate="2026-11-20T10:00:00.1234567-06:00"),
            row(editedDate="2026-11-20T10:00:00.1234567"),
            row(editedDate="2026-07-20T10:00:00"),
            row(editedDate="2026-11-20T16:00:00Z"),
        ]
    )
    winter = datetime(2026, 11, 20, 16, 0, 0, 123456, UTC)
    assert values(page, "edited_at") == [
        winter, winter, datetime(2026, 7, 20, 15, tzinfo=UTC), datetime(2026, 11, 20, 16, tzinfo=UTC),
    ]  # fmt: skip


def test_hour_that_the_clock_shows_twice_or_skips_kills_no_row() -> None:
    page = read([row(editedDate="2026-11-01T01:30:00"), row(editedDate="2026-03-08T02:30:00")])
    assert page.dead == ()
    assert values(page, "edited_at")[0] == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


def test_sentinels_mean_null() -> None:
    page = read([row(dob="0001-01-01T00:00:00", editedDate="0001-01-01T00:00:00"), row(dob="2026-11-20")])
    assert values(page, "born_date") == [None, date(2026, 11, 20)]
    assert values(page, "edited_at") == [None, None]


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00-06:00", "N/A", "", "11/20/2026"])
def test_date_that_is_none_kills_its_row_alone(text: str) -> None:
    page = read([row(1, dob=text), row(2, editedDate=text), row(3)])
    assert values(page, "row_id") == [3]
    assert [dead.reasons for dead in page.dead] == [("dob: not date",), ("editedDate: not timestamp",)]


@pytest.mark.parametrize("text", ["0000-05-05T00:00:00Z", "9999-12-31T23:59:59-06:00", "9999-12-31T23:59:59"])
def test_time_in_a_year_that_python_does_not_have_kills_its_row_alone(text: str) -> None:
    page = read([row(1, editedDate=text), row(2, dob="0000-05-05"), row(3, dob=text.replace("0000", "9999"))])
    assert values(page, "row_id") == [3]
    assert [dead.reasons for dead in page.dead] == [("editedDate: not timestamp",), ("dob: not date",)]


JUNK = [
    "garbage",
    "T25:99",
    "T10",
    "T10:60",
    "T10:00:60",
    "T10:00:00.",
    "T10:00:00 CST",
    "T10:00+24:00",
    "Z",
    " ",
    "\n",
    "-01",
]


@pytest.mark.parametrize("junk", JUNK)
def test_date_with_junk_behind_it_kills_its_row_alone(junk: str) -> None:
    page = read([row(1, dob=f"2026-01-05{junk}"), row(2, editedDate=f"2026-01-05{junk}"), row(3, dob="2026-01-05")])
    assert values(page, "row_id") == [3]
    assert [dead.reasons for dead in page.dead] == [("dob: not date",), ("editedDate: not timestamp",)]


def test_sentinel_with_junk_behind_it_is_no_null() -> None:
    assert [dead.reasons for dead in read([row(dob="0001-01-01garbage")]).dead] == [("dob: not date",)]


def _is_moment(text: str) -> bool:
    """As Python reads it: ISO 8601, in the extended form that vendors use."""
    try:
        return bool(datetime.fromisoformat(text)) and text.isascii()
    except ValueError:
        return False


MOMENT = st.builds(
    lambda when, spec, zone: when.isoformat(timespec=spec) + zone,
    st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2200-01-01")),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
    st.sampled_from(["", "Z", "+00:00", "-06:00", "+0530"]),
)


@settings(deadline=None)
@given(MOMENT | st.dates(date(1900, 1, 1)).map(str))
def test_moment_as_it_is_written_is_read(text: str) -> None:
    page = read([row(dob=text, editedDate=text)])
    assert page.dead == ()
    when = datetime.fromisoformat(text)
    assert values(page, "born_date") == [when.date()]
    if when.tzinfo:
        assert values(page, "edited_at") == [when.astimezone(UTC)]


@settings(deadline=None)
@given(MOMENT, st.integers(0, 40), st.text(min_size=1, max_size=5))
def test_moment_with_something_in_it_dies_unless_it_still_is_one(text: str, at: int, junk: str) -> None:
    spoilt = text[:at] + junk + text[at:]
    page = read([row(1, dob=spoilt, editedDate=spoilt), row(2)])
    assert values(page, "row_id")[-1] == 2
    if not _is_moment(spoilt):
        [dead] = page.dead
        assert dead.reasons == ("dob: not date", "editedDate: not timestamp")


def test_sensitive_value_is_staged_as_hash_and_last_four() -> None:
    page = read([row(ssn=SSN), row(ssn=None), row(), row(ssn="XXX-XX-6789")])
    assert values(page, "tax_id_hash") == [REDACTOR.split(SSN)[0], None, None, None]
    assert values(page, "tax_id_last4") == ["6789", None, None, "6789"]
    assert not {"ssn", "tax_id", "oldSsn", "leftBehind"} & set(page.rows.column_names)


@pytest.mark.parametrize(
    ("tax_id", "form"),
    [
        ("12-3456789", "ein"),
        (SSN, "ssn"),
        (" 12-3456789 ", "ein"),
        ("123456789", None),
        ("XX-XXX6789", None),
        (None, None),
    ],
)
def test_form_of_a_tax_id_is_staged_where_it_is_declared(tax_id: str | None, form: str | None) -> None:
    columns = tuple(replace(col, has_form=col.is_sensitive) for col in TABLE.columns)
    page = PageReader(replace(TABLE, columns=columns), REDACTOR).read(json.dumps([row(ssn=tax_id)]).encode())
    assert values(page, "tax_id_form") == [form]
    assert "tax_id_form" not in read([row(ssn=tax_id)]).rows.column_names
