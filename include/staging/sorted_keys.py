"""Find the keys of many parts among the same large number of keys."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


class SortedKeys:
    """Distinct keys, sorted once.

    Arrow's `index_in` and `is_in` build a hash table of all keys at each call. With a call for each part, the time would grow with the
    square of a table's size.

    Args:
        keys: Distinct keys, without null.

    Attributes:
        order: The places of the sorted keys in `keys`.
    """

    def __init__(self, keys: pa.Array) -> None:
        self.order = pc.sort_indices(keys)
        self._keys = keys.take(self.order)

    def find(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the place of each value in the order of the sorted keys; null if it is null or none of them."""
        if not len(self._keys):
            return pa.chunked_array([pa.nulls(len(values), pa.uint64())])
        encoded = values.combine_chunks().dictionary_encode()
        places = pc.min_element_wise(pc.search_sorted(self._keys, encoded.dictionary), len(self._keys) - 1)
        is_found = pc.equal(self._keys.take(places), encoded.dictionary)
        return pa.chunked_array([pc.if_else(is_found, places, None).take(encoded.indices)])
