"""A clock that is minutes off is detected by the first response, before staging, and a third clock tells which one it is."""

from __future__ import annotations

import email.utils
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from include.contract import Vendor
from include.contract.overrides import ignores_clock
from include.control.clocks import Clocks
from include.errors import ClockSkew, RetriableError
from include.pipeline import vendor_day
from include.warehouse import schema
from tests.conftest import Database, Firm

HOURS = timedelta(hours=60)


@pytest.fixture
def engine(shared_database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(shared_database.url())
    yield opened
    opened.dispose()


def at(by: timedelta) -> str:
    """Return the `Date` header of a clock that is off."""
    return email.utils.format_datetime(datetime.now(UTC) + by, usegmt=True)


def clocks(engine: sa.Engine, by: timedelta = timedelta()) -> Clocks:
    return Clocks(engine, lambda: datetime.now(UTC) + by)


@pytest.mark.parametrize(("by", "offset"), [(HOURS, "2 days, 12:00:00 ahead"), (-HOURS, "2 days, 12:00:00 behind")])
def test_our_clock_is_named_where_the_vendor_agrees_with_the_database(
    engine: sa.Engine, by: timedelta, offset: str
) -> None:
    with pytest.raises(ClockSkew, match=f"The clock of this machine is {offset}, by the database and the vendor"):
        clocks(engine, by).compare("orion", at(timedelta()))


def test_the_database_s_clock_is_named_where_the_vendor_agrees_with_ours(engine: sa.Engine) -> None:
    with pytest.raises(ClockSkew, match="The clock of the database is 2 days, 12:00:00 behind"):
        clocks(engine, HOURS).compare("orion", at(HOURS))


@pytest.mark.parametrize(
    "header", ["", "yesterday", at(timedelta(days=-9))], ids=["no date", "no time", "nine days behind"]
)
def test_without_a_third_clock_both_are_named(engine: sa.Engine, header: str) -> None:
    with pytest.raises(ClockSkew, match="agrees with neither"):
        clocks(engine, HOURS).compare("orion", header)


@pytest.mark.parametrize("by", [timedelta(minutes=4), timedelta(minutes=-4)])
def test_minutes_are_no_skew(engine: sa.Engine, by: timedelta) -> None:
    clocks(engine, by).compare("orion", at(by))


@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_where_database_and_worker_are_one_machine_the_vendor_s_clock_finds_both_hours_off(
    engine: sa.Engine, by: timedelta
) -> None:
    with pytest.raises(ClockSkew, match=r"of this machine and of the database are 2 days, .*`ignore_clock`"):
        clocks(engine).compare("orion", at(by))


def test_clock_of_a_vendor_that_is_known_to_be_wrong_stops_nothing(engine: sa.Engine) -> None:
    is_trusted = not ignores_clock({"ignore_clock": "true"})
    Clocks(engine, is_vendor_trusted=is_trusted).compare("orion", at(HOURS))
    assert not ignores_clock({})


def test_minutes_by_which_the_vendor_s_clock_alone_is_off_are_logged(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    clocks(engine).compare("orion", at(timedelta(minutes=-30)))
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.getMessage().startswith("orion: the vendor's clock is ")
    assert "behind" in record.getMessage()


def test_cached_response_has_its_stated_age(engine: sa.Engine, caplog: pytest.LogCaptureFixture) -> None:
    clocks(engine).compare("orion", at(timedelta(hours=-3)), "10800")
    assert caplog.records == []


def test_pull_under_a_wrong_clock_stages_nothing(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_firm(vendor, households=3)
    firm.site = replace(firm.site, machine_clock=lambda: datetime.now(UTC) + HOURS)
    table = vendor.requested_tables[0].name
    with pytest.raises(ClockSkew, match=f"this machine is 2 days, 12:00:00 ahead.*vendor={vendor.name}") as raised:
        vendor_day.stage(firm.vendor_run(firm.new_run()), table)
    assert isinstance(raised.value, RetriableError)
    assert not list((firm.folder / "staging").rglob("manifest.json"))
    assert firm.database.value("select count(*) from control.ledger") == 0
