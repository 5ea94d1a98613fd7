"""How a table is asked for, as part of its declaration: in pages, as a report, or one call for each row of another table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Whole:
    """The vendor answers in one piece."""


@dataclass(frozen=True, slots=True)
class Offset:
    """Pages by `$top` and `$skip`, ordered by `order`, the vendor's name of a column that never changes."""

    order: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """Pages by number, from 1; `page` and `size` are the parameters' names. An empty page is the end."""

    page: str
    size: str


@dataclass(frozen=True, slots=True)
class Positioned:
    """Pages by the position of their first row, from 0; `start` and `size` are the parameters' names. An empty page is the end.

    The table's parameters must ask for an order in which rows only ever join, such as that of creation: a row that left would
    let another slip through.
    """

    start: str
    size: str


@dataclass(frozen=True, slots=True)
class Linked:
    """Each page names the next one in the field `link`, and the last one none.

    Attributes:
        link: The field, such as `page.nextCursor`.
        size: Parameter that takes how many rows a page may have.
        cursor: Parameter that takes what the field holds; empty where that is the whole URL of the next page.
    """

    link: str
    size: str
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that is ordered (POST to the table's path), waited for, and downloaded as CSV, zipped or not.

    Attributes:
        order: What is asked for, beside the table's dates.
        job: Field of the answer that names the job; its state is at `<path>/<job>`, its file at `<path>/<job>/file`.
        state: Field of the job's state.
        done: State in which the file is there.
        failed: States after which there will be none.
        poll_seconds: Between two questions.
        deadline_seconds: The longest wait, by the vendor's clock.
    """

    order: Mapping[str, str]
    job: str = "jobId"
    state: str = "status"
    done: str = "Complete"
    failed: tuple[str, ...] = ("Failed",)
    poll_seconds: float = 5.0
    deadline_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class FanOut:
    """One call for each row of another table, whose columns stand in the path: `clients/{client_id}/plans`.

    Every row that comes of it also has the fields `@<column>` of that row, `@asked_at`, and `@nth`: its place, from 1, among the
    rows of its answer that share the rest of its key.

    Attributes:
        over: The other table; empty for one call on behalf of each grant that the firm holds (`@grant`).
        only: A staged flag of the other table: only rows for which it is true are asked for; empty for all.
        bucket: A bucket of the rate budget that these calls are taken from, too.
        missing: Statuses that say that there is nothing for this row.
        headers: Header -> its value, in which columns stand as in the path.
        pages: How an answer goes on; None where it is whole.
        final: An event with a life: what has come to its end, as far as we know, is not asked for again ...
        ended: ... if the other table says so, too: its staged column, and the words by which it does.
        is_conditional: Whether answers have an ETag, by which one that has not changed is not sent again. An answer is whole then.
    """

    over: str = ""
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
            raise ValueError("An answer of several pages has no ETag")


@dataclass(frozen=True, slots=True)
class Inside:
    """Rows that came inside the rows of another table, as a list in a column; nothing is asked for.

    Every row also has the fields `@<column>` of the row that it was in, `@in`, the column, and `@nth` as in a fan-out.

    Attributes:
        over: The other table.
        columns: Its staged columns that hold the JSON.
        through: Lists within lists: the fields that lead to the rows. A text or a number of what the row is in becomes
            `^<name>`, and of what that is in, `^^<name>`.
    """

    over: str
    columns: tuple[str, ...]
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pushed:
    """Rows that only webhooks bring; nothing is asked for."""


Shape = Whole | Offset | Numbered | Positioned | Linked | Report | FanOut | Inside | Pushed
