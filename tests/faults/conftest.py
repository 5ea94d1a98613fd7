"""Wrong days of a firm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from include import business_dates
from include.contract import Vendor
from tests.conftest import Firm
from tests.faults.wrong_day import WrongDay
from tests.running_sandbox import LAST, NOW

BEFORE = date(2026, 11, 19)


def load_two_days(firm: Firm) -> None:
    firm.turn_to(NOW - timedelta(days=1))
    firm.day(BEFORE)
    firm.turn_to(NOW)
    firm.day(LAST)
    firm.turn_to(NOW + timedelta(days=3))


@pytest.fixture
def start_wrong_day(start_firm: Callable[..., Firm]) -> Callable[[Vendor], WrongDay]:
    """Starts firms on a Monday after two good days."""

    def start(vendor: Vendor) -> WrongDay:
        firm = start_firm(vendor, after=load_two_days, households=12)
        run = firm.new_run(business_dates.latest_closed(firm.clock()))
        return WrongDay(firm, run, firm.stage(run))

    return start
