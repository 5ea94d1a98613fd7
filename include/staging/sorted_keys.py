"""Find the keys of many parts among the same large number of keys."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


class SortedKeys:
    """Distinct keys, sorted once.

    Arrow's `index_in` and `is_in` build a hash table of all keys at each call. With a call for each part, the time would grow with the
    square of a table's size. To sort a million keys takes half the memory that `unique` takes, and no more time.

    Args:
        keys: Keys without null, in any order; a key may be repeated.

    Attributes:
        distinct: The distinct keys in ascending order.
    """

    def __init__(self, keys: pa.Array) -> None:
        keys = keys.take(pc.sort_indices(keys))
        is_new = pc.not_equal(keys[1:], keys[:-1])
        self.distinct = keys if is_new.false_count == 0 else keys.filter(pa.concat_arrays([pa.array([True]), is_new]))

    def find(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the place of each value among the sorted keys; null if it is null or none of them."""
        if not len(self.distinct):
            return pa.chunked_array([pa.nulls(len(values), pa.uint64())])
        encoded = values.combine_chunks().dictionary_encode()
        places = pc.min_element_wise(pc.search_sorted(self.distinct, encoded.dictionary), len(self.distinct) - 1)
        is_found = pc.equal(self.distinct.take(places), encoded.dictionary)
        return pa.chunked_array([pc.if_else(is_found, places, None).take(encoded.indices)])
