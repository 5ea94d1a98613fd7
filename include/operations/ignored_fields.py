"""The change of a vendor's declaration that ignores undeclared fields, as text for the engineer who makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from include import vendors
from include.contract import Vendor

_FOLDER = Path(vendors.__file__).parent


def write_change(vendor: Vendor, fields: Mapping[str, Sequence[str]]) -> str:
    """Return the change as text: for each table, the file, and the line to add to the table's columns.

    Args:
        vendor: The vendor.
        fields: Table -> the vendor's names of the fields to ignore.
    """
    parts = [
        f"Ignore undeclared fields of {vendor.title}",
        "",
        "Add each line to `columns` of its table. An ignored field is known, and not staged. To load a field instead, declare it with",
        "`column(...)`; a field with personal data of clients, such as a tax id, with `sensitive(...)`.",
    ]
    for table, names in sorted(fields.items()):
        parts += [
            "",
            f"{_find_file(vendor, table)}, table {table}:",
            "",
            f'    *ignored("{", ".join(sorted(names))}"),',
        ]
    return "\n".join([*parts, "", f"Then run: .venv/bin/python -m pytest tests/vendors/{vendor.name}", ""])


def _find_file(vendor: Vendor, table: str) -> str:
    """Return the path of the source file that declares a table, below the project's folder; the vendor's folder if none is found."""
    folder = _FOLDER / vendor.name
    files = sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    found = next((file for file in files if f'name="{table}"' in file.read_text()), folder)
    return f"include/vendors/{found.relative_to(_FOLDER)}"
