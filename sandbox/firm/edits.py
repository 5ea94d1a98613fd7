"""People's edits in the vendors' systems, stored in a file so that they survive a restart.

An edit is `{"kind", "at", ...}`. The kind `set_fields` sets fields of one row of one vendor's table, in the vendor's own
field names: `{"vendor", "table", "id", "set": {...}, "as_of"?}`. The books apply all other kinds.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from sandbox.server.rows import dump_line

Edit = dict[str, Any]


def parse(text: bytes) -> Edit:
    """Return a JSON object with its decimals exact."""
    value: Edit = json.loads(text, parse_float=Decimal)
    return value


class Edits:
    """The edits of one sandbox, oldest first.

    Args:
        path: A file of JSON lines, read if it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: list[Edit] = [parse(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def append(self, edit: Edit) -> None:
        """Store an edit."""
        with self.path.open("ab") as file:
            file.write(dump_line(edit))
        self.all.append(edit)

    def list_book_edits(self, vendor: str = "orion") -> list[Edit]:
        """Return every edit of one vendor's books, without the row edits."""
        return [edit for edit in self.all if edit["kind"] != "set_fields" and edit.get("vendor", "orion") == vendor]
