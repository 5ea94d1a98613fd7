"""Storing the matched households."""

from __future__ import annotations

from concurrent.futures import Future

import pyarrow as pa
import pytest
import sqlalchemy as sa

from include.errors import TargetUnavailable
from include.identity.homes import store_all_homes
from include.identity.record import CLUSTERS, HOUSEHOLDS
from tests.identity.rows import persons


def test_a_household_that_another_load_removed_meanwhile_stops_the_run(engine: sa.Engine) -> None:
    linking = Future[pa.Table]()
    linking.set_result(pa.table([["a"], ["x"], [1]], schema=HOUSEHOLDS))
    clusters = pa.table([[1], [1]], schema=CLUSTERS)
    with engine.begin() as db, pytest.raises(TargetUnavailable, match="try again"):
        store_all_homes(db, persons({"vendor": "a", "household": "x"}), clusters, linking, "run")
