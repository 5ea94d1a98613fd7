"""Apply users' edits of single rows (`set_fields`) to a vendor's table."""

from datetime import date, datetime

from sandbox.firm.edits import Edits
from sandbox.orion.rows import write_moment
from sandbox.server.rows import MISSING, Rows


def apply_row_edits(edits: Edits, vendor: str, table: str, as_of: date | None, rows: Rows) -> Rows:
    """Return `rows` with the stored `set_fields` edits of this table applied.

    An edit with `as_of` applies only to rows of that day. An edited row gets the time of the edit as its `editedDate`, if the row
    has that field.
    """
    row_edits = [
        edit
        for edit in edits.all
        if edit["kind"] == "set_fields"
        and (edit.get("vendor", vendor), edit["table"]) == (vendor, table)
        and edit.get("as_of") in (None, as_of and as_of.isoformat())
    ]
    if not row_edits:
        return rows
    fields = tuple(dict.fromkeys([*rows.fields, *(name for edit in row_edits for name in edit["set"])]))
    added = (MISSING,) * (len(fields) - len(rows.fields))
    by_id = {row["id"]: row for row in (dict(zip(fields, (*v, *added), strict=True)) for v in rows.values)}
    for edit in row_edits:
        if row := by_id.get(edit["id"]):
            if row.get("editedDate", MISSING) is not MISSING:
                row["editedDate"] = write_moment(datetime.fromisoformat(edit["at"]))
            row.update(edit["set"])
    return Rows(fields, [tuple(row.values()) for row in by_id.values()])
