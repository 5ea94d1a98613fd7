"""Read pages of rows that API callers pushed; see `include.extract.pushed`."""

from __future__ import annotations

from collections.abc import Sequence

from include.extract.exact_json import load
from include.extract.page import REFUSED, Page, PageReader
from include.extract.pushed import ABSENT, find_absent


class WholeRowReader(PageReader):
    """Reader for rows that must contain every staged field. A row that lacks a field becomes dead; its reasons name the absent fields."""

    def read(self, body: bytes) -> Page:
        """Read one page: a JSON array of objects. Bad rows, and rows that lack a field, become dead rows of the result.

        Raises:
            VendorUnavailable: The body is not a JSON array.
        """
        try:
            rows = load(body)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(body) from error
        is_lacking = isinstance(rows, list) and any(
            isinstance(row, dict) and find_absent(self.table, row) for row in rows
        )
        return self._read_refused(body) if is_lacking else super().read(body)

    def _numbers(self, rows: Sequence[object]) -> dict[int, dict[str, object]]:
        changed = super()._numbers(rows)
        for place, row in enumerate(rows):
            if isinstance(row, dict) and (absent := find_absent(self.table, row)):
                changed.setdefault(place, {}).update(dict.fromkeys(absent, REFUSED))
        return changed

    def _faults(self, row: dict[str, object], numbers: dict[str, object]) -> dict[str, str]:
        absent = set(find_absent(self.table, row))
        others = {source: value for source, value in numbers.items() if source not in absent}
        lacking = {col.name: f"{col.source}: {ABSENT}" for col in self.table.columns if col.source in absent}
        return lacking | {name: why for name, why in super()._faults(row, others).items() if name not in lacking}
