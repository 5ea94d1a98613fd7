"""A firm that lost its staging folder: the warehouse stays as it is, and the next day is loaded."""

from __future__ import annotations

import shutil
from datetime import timedelta

from include import business_dates
from tests.conftest import Firm
from tests.firm_keys import KEYRING


def test_the_day_after_the_loss_of_staging_is_loaded(firm: Firm) -> None:
    now = firm.now
    firm.turn_to(now - timedelta(days=1))
    before = firm.day(business_dates.latest_closed(firm.now))
    shutil.rmtree(firm.folder / "staging")
    firm.use(KEYRING)
    firm.turn_to(now)
    assert firm.day().keys() == before.keys()
