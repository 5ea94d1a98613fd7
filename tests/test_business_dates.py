"""Business dates of manual runs are validated before any pull."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from include import business_dates
from include.errors import ConfigurationError

EVENING = datetime(2026, 11, 24, 22, tzinfo=UTC)


@pytest.mark.parametrize("day", ["2026-11-24", "2026-11-20", "2010-01-04"])
def test_a_closed_session_is_taken(day: str) -> None:
    assert business_dates.parse_business_date(day, EVENING) == date.fromisoformat(day)


def test_the_first_valid_session_has_a_previous_one() -> None:
    assert business_dates.previous(date(2010, 1, 4)) == date(2009, 12, 31)


@pytest.mark.parametrize(
    ("day", "is_past"), [(date(2026, 11, 23), True), (date(2026, 11, 24), False), (date(2026, 11, 25), False)]
)
def test_a_day_is_past_once_a_later_session_has_closed(day: date, is_past: bool) -> None:
    assert business_dates.is_past(day, EVENING) == is_past


def test_the_session_before_a_monday_is_the_friday() -> None:
    assert business_dates.previous(date(2026, 11, 23)) == date(2026, 11, 20)


@pytest.mark.parametrize(
    ("day", "message"),
    [
        (
            "2026-11-22",
            "2026-11-22 is not a trading day of the New York Stock Exchange; the previous one is 2026-11-20",
        ),
        (
            "2026-11-26",
            "2026-11-26 is not a trading day of the New York Stock Exchange; the previous one is 2026-11-25",
        ),
        ("2026-11-25", "2026-11-25 has not closed yet; the latest closed trading day is 2026-11-24"),
        ("2063-04-05", "2063-04-05 has not closed yet; the latest closed trading day is 2026-11-24"),
        ("2009-12-31", "2009-12-31 is too early; the first business date is 2010-01-04"),
        ("yesterday", "'yesterday' is not a date; use the format 2026-11-25"),
    ],
)
def test_any_other_day_is_refused_with_what_to_do(day: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        business_dates.parse_business_date(day, EVENING)
    assert str(error.value) == message


def test_a_session_is_valid_once_it_has_closed() -> None:
    with pytest.raises(ConfigurationError):
        business_dates.parse_business_date("2026-11-24", datetime(2026, 11, 24, 20, 59, tzinfo=UTC))
    assert business_dates.parse_business_date("2026-11-24", datetime(2026, 11, 24, 21, tzinfo=UTC)) == date(
        2026, 11, 24
    )


def test_business_dates_follow_the_demos_present(monkeypatch: pytest.MonkeyPatch) -> None:
    evening, last = datetime(2025, 6, 30, 23, tzinfo=UTC), date(2025, 6, 30)
    monkeypatch.setenv("TRIBUTARY_CLOCK_BEHIND", str((datetime.now(UTC) - evening).total_seconds()))
    assert business_dates.business_date(None) == last
    assert not business_dates.is_past(last)
    assert abs(business_dates.get_now() - evening) < timedelta(minutes=1)
    monkeypatch.delenv("TRIBUTARY_CLOCK_BEHIND")
    assert business_dates.business_date(None) > last
