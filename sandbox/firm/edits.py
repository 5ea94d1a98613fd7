"""People's edits in the vendors' systems, stored in a file so that they survive a restart.

An edit is `{"kind", "at", ...}`, with `vendor` unless it belongs to Orion. The kind `set_fields` sets fields of one row of a
vendor's table, in the vendor's own field names: `{"vendor", "table", "id", "set": {...}, "as_of"?}`. The firm's books apply
Orion's other kinds; every other vendor's code applies its own.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from sandbox.server.rows import dump_line

Edit = dict[str, Any]


def parse(text: bytes) -> Edit:
    """Parse a JSON object. Numbers with a fraction become Decimal."""
    value: Edit = json.loads(text, parse_float=Decimal)
    return value


class Edits:
    """The edits of one sandbox, oldest first.

    Args:
        path: File of JSON lines. It is read if it exists, and created by the first edit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: list[Edit] = [parse(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def append(self, edit: Edit) -> None:
        """Append an edit to the file and to `all`."""
        with self.path.open("ab") as file:
            file.write(dump_line(edit))
        self.all.append(edit)

    def list_book_edits(self, vendor: str = "orion") -> list[Edit]:
        """Return one vendor's edits except `set_fields`, oldest first. An edit without a vendor belongs to Orion."""
        return [edit for edit in self.all if edit["kind"] != "set_fields" and edit.get("vendor", "orion") == vendor]
