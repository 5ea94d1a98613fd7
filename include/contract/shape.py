"""Shapes of a table's requests: one response, pages, a report, one call per row of another table, nested rows, or webhooks only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Whole:
    """All rows in one response."""


@dataclass(frozen=True, slots=True)
class Offset:
    """Pages by `$top` and `$skip`, ordered by `order`: the vendor's name of a column whose values never change."""

    order: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """Pages by number, from 1; `page` and `size` are parameter names. An empty page is the end."""

    page: str
    size: str


@dataclass(frozen=True, slots=True)
class Positioned:
    """Pages by the position of their first row, from 0; `start` and `size` are parameter names. An empty page is the end.

    The table's parameters must request an order in which rows are only appended, such as order of creation: if a row were
    removed, the next page would skip another row.
    """

    start: str
    size: str


@dataclass(frozen=True, slots=True)
class Linked:
    """Pages by cursor: the field `link` of each page holds the next cursor; the last page has none.

    Attributes:
        link: The field, such as `page.nextCursor`.
        size: Parameter for the page size.
        cursor: Parameter for the cursor; empty if the field holds the whole URL of the next page.
    """

    link: str
    size: str
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A report job: created by POST to the table's path, polled, and downloaded as CSV, zipped or not.

    Attributes:
        order: Body of the POST, without the table's dates.
        job: Field of the response with the job's id; the state is at `<path>/<job>`, the file at `<path>/<job>/file`.
        state: Field of the job's state.
        done: State in which the file is ready.
        failed: States of a failed job.
        poll_seconds: Seconds between two polls.
        deadline_seconds: Maximum wait in seconds, by the vendor's clock.
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

    Every row of the response also has these fields: `@<column>` of its parent row, `@requested_at`, and `@nth`: its place, from 1,
    among the rows of the response that share the rest of its key.

    Attributes:
        parent: The parent table; empty for one call per grant that the firm holds (`@grant`).
        only: Staged flag of the parent: request only rows for which it is true; empty for all.
        bucket: Additional bucket of the rate budget that these calls count against.
        missing: HTTP statuses that mean no rows for this parent row.
        headers: Header -> value, with `{column}` placeholders as in the path.
        pages: Paging of a response; None for a single page.
        final: Canonical event with a final state: a key whose event is final in the warehouse is not requested again ...
        ended: ... if the parent row is also in a final state: (staged column of the parent, its final values).
        is_conditional: Whether to send ETags, so that the vendor does not resend an unchanged response. Excludes `pages`.
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
    """Rows nested in the rows of a parent table, as a list in a column; they need no request.

    Every row also has these fields: `@<column>` of its parent row, `@in` (the column), and `@nth` as in `FanOut`.

    Attributes:
        parent: The parent table.
        columns: The parent's staged columns that hold the lists as JSON.
        through: For lists within lists: the fields that lead to the rows. A string or integer field of the enclosing object becomes
            `^<name>`, and of the object around that one `^^<name>`.
    """

    parent: str
    columns: tuple[str, ...]
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pushed:
    """Rows that arrive only by webhook; they are never requested."""


Shape = Whole | Offset | Numbered | Positioned | Linked | Report | FanOut | Nested | Pushed
