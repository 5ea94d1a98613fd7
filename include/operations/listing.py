"""Lists of the Operations pages. Each list is a view of the database with columns, filters and an order, and is read page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

Kind = Literal["text", "number", "money", "date", "time", "run"]

MOST_CHOICES = 400
"""Maximum number of values that a filter offers: more than the business dates of a year."""
MOST_ROWS = 10_000
"""Maximum number of rows, from the start of a list, that are counted and searched for the values that its filters offer."""
BATCH = 1_000
"""Number of rows that a file of a whole list reads at a time."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list: its name in the view, its heading, and how its values are written."""

    name: str
    title: str
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list.

    Attributes:
        name: Path of its page.
        title: Heading.
        lead: A sentence that describes what the list contains.
        view: View of the schema `control`.
        columns: Its columns.
        order: Columns of the view by which the list is sorted; a `-` in front sorts from the largest value to the smallest.
            Together, they tell rows apart: rows that are equal in all of them could be on two pages, and others on none.
        filters: Columns by which users select rows.
        empty: Text of the page if there are no rows.
        is_personal: Whether rows show clients, so that only users with the right of the identity review may see them.
        template: The template of its page.
        has_lineage: Whether the view has a column `lineage` (JSON): the query of the row's lineage page; null if it has none.
    """

    name: str
    title: str
    lead: str
    view: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    filters: tuple[str, ...] = ()
    empty: str = "Nothing to show."
    is_personal: bool = False
    template: str = "list.html"
    has_lineage: bool = False

    @property
    def path(self) -> str:
        """The list's address below the start page. Lists that show clients are below `clients/`."""
        return f"{'clients' if self.is_personal else 'lists'}/{self.name}"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list.

    Attributes:
        rows: The rows of the page.
        total: Number of matching rows; `MOST_ROWS` if there are as many or more.
        choices: Filter -> the values that it offers: dates from the newest one, all others in alphabetical order.
    """

    rows: Sequence[sa.RowMapping]
    total: int
    choices: Mapping[str, Sequence[str]]


def read_list(
    connection: sa.Connection, listing: Listing, selected: Mapping[str, str], offset: int, limit: int
) -> ListPage:
    """Return one page of a list.

    Args:
        connection: The database, as a role that may read the list's view.
        listing: The list.
        selected: Filter -> the selected value as text; an empty text selects all rows. Names that are not filters of the list are ignored.
        offset: Number of rows before the page.
        limit: Maximum number of rows of the page.
    """
    query = _select(listing, selected)
    rows = connection.execute(query.offset(offset).limit(limit)).mappings().all()
    total = count_rows(connection, listing, selected, MOST_ROWS)
    # Filters don't need the other columns, some of which are computed.
    everything = _select(listing, {}).limit(MOST_ROWS)
    newest = everything.with_only_columns(*(everything.selected_columns[name] for name in listing.filters)).subquery()
    return ListPage(rows, total, _read_choices(connection, newest, listing, selected))


def count_rows(
    connection: sa.Connection, listing: Listing, selected: Mapping[str, str], most: int | None = None
) -> int:
    """Return the number of all rows of a list that match, or at most `most`; the other arguments are those of `read_list`."""
    # A count needs neither the order nor the columns, some of which are computed.
    query = _select(listing, selected).with_only_columns(sa.literal(1), maintain_column_froms=True)
    matching = query.order_by(None).limit(most).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(matching)) or 0


def stream_rows(
    connection: sa.Connection, listing: Listing, selected: Mapping[str, str], offset: int
) -> Iterator[Sequence[sa.RowMapping]]:
    """Yield all rows of a list, a batch at a time, so that memory does not grow with the list; the arguments are those of `read_list`."""
    query = _select(listing, selected).offset(offset)
    yield from connection.execution_options(yield_per=BATCH).execute(query).mappings().partitions()


def _select(listing: Listing, selected: Mapping[str, str]) -> sa.Select[Any]:
    """Return the query of all rows that match, in the list's order."""
    names = [each.name for each in listing.columns] + ["lineage"] * listing.has_lineage
    sorted_by = [name.removeprefix("-") for name in listing.order]
    view = sa.table(listing.view, *map(sa.column, dict.fromkeys([*names, *sorted_by])), schema="control")
    order = [view.c[name.removeprefix("-")].desc() if name.startswith("-") else view.c[name] for name in listing.order]
    where = [sa.cast(view.c[name], sa.Text) == selected[name] for name in listing.filters if selected.get(name)]
    return sa.select(*(view.c[name] for name in names)).where(*where).order_by(*order)


def _read_choices(
    connection: sa.Connection, rows: sa.Subquery, listing: Listing, selected: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the values that each filter offers, as texts. A selected value is always among them."""
    if not listing.filters:
        return {}
    texts = [sa.cast(rows.c[name], sa.Text) for name in listing.filters]
    found = connection.execute(sa.select(*(sa.func.array_agg(sa.distinct(text)) for text in texts))).one()
    dates = {column.name for column in listing.columns if column.kind == "date"}
    choices = {}
    for name, values in zip(listing.filters, found, strict=True):
        offered = sorted((value for value in values or () if value), reverse=name in dates)[:MOST_CHOICES]
        chosen = selected.get(name)
        choices[name] = offered if not chosen or chosen in offered else [*offered, chosen]
    return choices
