"""Keys of parts are found among many keys."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from include.staging.sorted_keys import SortedKeys

KEY = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


@given(st.lists(KEY), st.lists(st.none() | KEY))
def test_each_value_is_found_among_the_distinct_keys_in_order_of_their_bytes(
    keys: list[str], values: list[str | None]
) -> None:
    table = SortedKeys(pa.array(keys, pa.string()))
    distinct: list[str | None] = sorted(set(keys), key=str.encode)
    assert table.distinct.to_pylist() == distinct
    places = table.find(pa.chunked_array([pa.array(values, pa.string())]))
    assert places.to_pylist() == [distinct.index(value) if value in distinct else None for value in values]
