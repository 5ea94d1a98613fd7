"""Matching households in full and in daily runs."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from include.errors import TargetUnavailable
from include.identity.homes import Homes, store_all_homes
from include.identity.link import match_all
from include.identity.record import CLUSTERS, HOUSEHOLDS
from local.bench.identity_days import ON
from local.bench.people import make_firm
from tests.identity.rows import persons


def test_a_household_that_another_load_removed_meanwhile_stops_the_run(engine: sa.Engine) -> None:
    linking = Future[pa.Table]()
    linking.set_result(pa.table([["a"], ["x"], [1]], schema=HOUSEHOLDS))
    clusters = pa.table([[1], [1]], schema=CLUSTERS)
    with engine.begin() as db, pytest.raises(TargetUnavailable, match="try again"):
        store_all_homes(db, persons({"vendor": "a", "household": "x"}), clusters, linking, "run")


def test_a_record_that_moved_connects_the_household_that_it_left_with_that_which_it_joined() -> None:
    before = match_all(make_firm(100).persons, on=ON)
    features = before.features
    homes = pc.unique(features["household"]).to_pylist()
    [moved, resident] = (
        features.filter(pc.equal(features["household"], home))["record_id"][0].as_py() for home in homes[:2]
    )
    household = pc.if_else(pc.equal(features["record_id"], moved), homes[1], features["household"])
    later = features.set_column(features.column_names.index("household"), "household", household)
    graph = Homes(before)
    graph.add(replace(before, features=later, touched=np.array([moved])))
    marked = graph.grow(graph.mark(np.array([resident])))
    assert {":".join(home) for home in graph.list_homes(marked)} >= set(homes[:2])
    assert moved in graph.list_records(marked)
