"""Query results are read as Arrow columns."""

from __future__ import annotations

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.database.columns import read_integers


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([0, 1, 99_999, 100_000, 100_001, 200_000, 250_000]), st.integers(-(2**62), 2**62))
def test_integers_are_read_in_their_order_however_many_messages_they_need(
    engine: sa.Engine, count: int, first: int
) -> None:
    query = "select %(first)s::bigint + n as up, -n as down from generate_series(1, %(count)s::bigint) n order by n"
    with engine.connect() as connection:
        table = read_integers(connection, query, ["up", "down"], {"first": first, "count": count})
    assert table["up"].to_pylist() == list(range(first + 1, first + count + 1))
    assert table["down"].to_pylist() == list(range(-1, -count - 1, -1))
