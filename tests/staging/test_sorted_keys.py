"""Keys of parts among many keys: found as Arrow's own lookup finds them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from include.staging.sorted_keys import SortedKeys

KEY = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


@given(st.lists(KEY, unique=True), st.lists(st.none() | KEY))
def test_each_value_is_found_as_arrow_finds_it(keys: list[str], values: list[str | None]) -> None:
    known, column = pa.array(keys, pa.string()), pa.chunked_array([pa.array(values, pa.string())])
    table = SortedKeys(known)
    places = table.find(column)
    expected = pc.index_in(column, value_set=known).to_pylist()
    assert pc.take(table.order, places).to_pylist() == expected
