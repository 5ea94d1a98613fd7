"""The rows that a call writes to the org, from the sent values to their outcome."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sandbox.salesforce.columns import Column, Columns, Row
from sandbox.salesforce.errors import RowError
from sandbox.salesforce.schema import Field
from sandbox.salesforce.store import Body
from sandbox.salesforce.values import StoredValue, complete_id

CLEARED = "#N/A"
"""Value of a cell in a bulk file that clears its field."""


@dataclass(slots=True)
class Outcome:
    """The outcome of one row: the record's id, whether it was created, and the error of a rejected row."""

    id: str | None = None
    is_created: bool = False
    error: RowError | None = None


@dataclass(slots=True)
class Draft:
    """One row that is being written.

    Attributes:
        values: The sent values in stored form, by field.
        parents: The parents that are given by an external key, each as the column and the key.
        id: The record's id; None until it is known.
        is_new: Whether the row creates a record.
        body: The whole record after the write.
        before: The whole record before the write; empty for a new record.
        has_new_keys: Whether the index of keys needs an update.
        error: Why the row is rejected; None for a valid row.
    """

    values: dict[str, StoredValue] = field(default_factory=dict)
    parents: list[tuple[Column, str]] = field(default_factory=list)
    id: str | None = None
    is_new: bool = False
    body: Body = field(default_factory=dict)
    before: Body = field(default_factory=dict)
    has_new_keys: bool = True
    error: RowError | None = None


def draft_row(columns: Columns, row: Row) -> Draft:
    """Parse a row of a JSON call; an invalid value is recorded as the error of the draft.

    Raises:
        ApiError: INVALID_FIELD, a column does not exist.
    """
    draft = Draft()
    for name, value in row.items():
        _take(draft, columns[name], value)
    return draft


def draft_cells(columns: Sequence[Column], cells: Iterable[str]) -> Draft:
    """Parse a row of a bulk file; an invalid value is recorded as the error of the draft.

    An empty cell leaves its field unchanged; `#N/A` clears the field.
    """
    draft = Draft()
    values = draft.values
    for column, cell in zip(columns, cells, strict=True):
        if column.is_plain and cell and cell != CLEARED:
            try:
                values[column.name] = column.parse(cell)
            except RowError as error:
                draft.error = draft.error or error
        elif cell:
            _take(draft, column, None if cell == CLEARED else cell)
    return draft


def _take(draft: Draft, column: Column, value: object) -> None:
    try:
        if column.name == "Id":
            draft.id = None if value is None else complete_id(str(value))
        elif column.field.is_read_only:
            raise refuse_field(column.field)
        elif value is None:
            draft.values[column.name] = False if column.field.type == "Checkbox" else None
        elif column.parent_key is not None:
            draft.parents.append((column, str(value)))
        else:
            draft.values[column.name] = column.parse(value)
    except RowError as error:
        draft.error = draft.error or error


def list_valid(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Return the drafts without an error so far."""
    return (draft for draft in drafts if draft.error is None)


def refuse_field(item: Field) -> RowError:
    """Return the error for a value of a field that callers may not write."""
    message = (
        f"Unable to create/update fields: {item.name}. Please check the security settings of this field and verify "
        "that it is read/write for your profile or permission set."
    )
    return RowError("INVALID_FIELD_FOR_INSERT_UPDATE", message, item.name)
