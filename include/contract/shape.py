"""Shapes of a table's requests: one response, pages, a report, one call per row of another table, nested rows, or webhooks only; and the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Whole:
    """All rows in one response."""


@dataclass(frozen=True, slots=True)
class Offset:
    """Pages by `$top` and `$skip`.

    Attributes:
        order: The vendor's name of the column to sort by. Its values must never change.
    """

    order: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """Pages by number, from 1, until a page is empty.

    Attributes:
        page: Parameter for the page number.
        size: Parameter for the page size.
    """

    page: str
    size: str


@dataclass(frozen=True, slots=True)
class Positioned:
    """Pages by the position of their first row, from 0, until a page is empty.

    The table's parameters must request an order in which rows are only appended, such as the order of creation. If the vendor
    removed a row during the pull, the next page would skip another row.

    Attributes:
        start: Parameter for the position.
        size: Parameter for the page size.
    """

    start: str
    size: str


@dataclass(frozen=True, slots=True)
class Linked:
    """Pages by cursor: each page contains the cursor of the next page; the last page has none.

    Attributes:
        link: Field with the next cursor, such as `page.nextCursor`.
        size: Parameter for the page size.
        cursor: Parameter for the cursor; empty if the field holds the whole URL of the next page.
    """

    link: str
    size: str
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A report job: created by POST to the table's path, polled until it is done, and downloaded as CSV or as a ZIP archive of one CSV.

    Attributes:
        order: Body of the POST; the dates of the pull are added to it.
        job: Field of the response with the job's id; the state is at `<path>/<job>`, the file at `<path>/<job>/file`.
        state: Field with the job's state.
        done: State in which the file is ready.
        failed: States of a failed job.
        poll_seconds: Seconds between two polls.
        deadline_seconds: Maximum seconds to wait for the file, by the vendor's clock.
    """

    order: Mapping[str, str]
    job: str
    state: str
    done: str
    failed: tuple[str, ...]
    poll_seconds: float = 5.0
    deadline_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class FanOut:
    """One call per row of a parent table, with the parent's columns in the path: `clients/{client_id}/plans`.

    The table may declare columns with these sources, which Tributary adds to every row of a response:
        `@<column>`: the value of this column in the parent row.
        `@requested_at`: the time of the request.
        `@nth`: a number, from 1, that distinguishes rows of one response whose other key columns are equal.

    Attributes:
        parent: The parent table; empty for one call per grant of the connection (`@grant`).
        only: Boolean staged column of the parent: only parent rows in which it is true are requested; empty for all.
        bucket: Additional bucket of the rate budget that these calls count against; empty for none.
        missing: HTTP statuses that mean that the parent row has no rows in this table. Without a parent, and for a web page, they are errors.
        headers: Header -> value, with `{column}` placeholders as in the path.
        pages: Paging of a response; None for a single page.
        final: Name of a canonical event with a final state. If the warehouse has a parent row's event in its final state, the row is
            not requested again, except by a run for selected keys or a full refresh. Empty: all parent rows are requested.
        ended: Exception to `final`: (staged column of the parent, its final values). If the pulled parent row has any other value, the
            row is requested, even if the warehouse has the final state.
        is_conditional: Whether to send ETags, so that the vendor does not resend an unchanged response. Can't be used with `pages`.
    """

    parent: str = ""
    only: str = ""
    bucket: str = ""
    missing: tuple[int, ...] = (404,)
    headers: Mapping[str, str] = field(default_factory=dict)
    pages: Linked | None = None
    final: str = ""
    ended: tuple[str, tuple[str, ...]] = ("", ())
    is_conditional: bool = False

    def __post_init__(self) -> None:
        if self.is_conditional and self.pages:
            raise ValueError("is_conditional excludes pages: a response of several pages has no ETag")


@dataclass(frozen=True, slots=True)
class Nested:
    """Rows that are lists in columns of a parent table. They are read from the parent's partition, without a request.

    The table may declare columns with these sources, which Tributary adds to every row:
        `@<column>`: the value of this column in the parent row.
        `@in`: the name of the column that contains the list.
        `@requested_at`: the value of the parent's column `requested_at`.
        `@nth`: as in `FanOut`.
        `^<name>`: a string or integer field of the object that encloses the row; `^^<name>` for the next outer object.

    Attributes:
        parent: The parent table.
        columns: The parent's staged columns that contain the lists as JSON.
        through: For lists within lists: names of the fields that contain the inner lists, the outermost first.
    """

    parent: str
    columns: tuple[str, ...]
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pushed:
    """Rows that arrive only by webhook; they are never requested."""


Shape = Whole | Offset | Numbered | Positioned | Linked | Report | FanOut | Nested | Pushed


@dataclass(frozen=True, slots=True)
class Probe:
    """The cheapest request that returns the last day that the vendor has closed.

    Attributes:
        path: Path below the base URL. The response is an array with a row per account, or a single row for all accounts.
        params: Query parameters; they must order the rows by date, earliest first.
        top: Parameter that limits the number of rows; empty if there is none.
        field: The vendor's field with the last closed day.
        key: The vendor's field with the account.
        tolerated: Number of accounts that may be behind, so that a dormant account does not delay the firm.
    """

    path: str
    params: Mapping[str, str]
    field: str
    key: str = "id"
    tolerated: int = 0
    top: str = ""
