"""What a fan-out was answered so far: so that one that was killed goes on where it stopped, hours later.

The rows are flat, and sensitive fields are tokens already. They are kept until the partition is complete; one that came with an ETag
is kept beside it, so that the next run need not be sent it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

_KEEP = sa.text("""
insert into control.answer (run_id, vendor, table_name, asked_for, rows, answered_at)
values (:run_id, :vendor, :table_name, :asked_for, :rows, :now) on conflict do nothing
""")

_KNOW = sa.text("""
insert into control.known_answer as k (vendor, table_name, asked_for, contract, etag, rows)
values (:vendor, :table_name, :asked_for, :contract, :etag, :rows)
on conflict (vendor, table_name, asked_for) do update
set contract = excluded.contract, etag = excluded.etag, rows = excluded.rows, asked_at = excluded.asked_at
""")
_TAKE_ETAGS = sa.text("""
update control.known_answer set asked_at = clock_timestamp()
where vendor = :vendor and table_name = :table_name and contract = :contract and asked_for = any(:wanted)
  and asked_at < clock_timestamp() - make_interval(secs => :rest_s)
returning asked_for, etag
""")
_KEEP_KNOWN = sa.text("""
insert into control.answer as kept (run_id, vendor, table_name, asked_for, rows, answered_at)
select :run_id, vendor, table_name, asked_for, rows, :now from control.known_answer
where vendor = :vendor and table_name = :table_name and asked_for = :asked_for and contract = :contract and etag = :etag
on conflict (run_id, vendor, table_name, asked_for) do update set rows = kept.rows
""")
# What is not asked for any more has come to its end.
_FORGET_KNOWN = sa.text("""
delete from control.known_answer
where vendor = :vendor and table_name = :table_name and asked_at < clock_timestamp() - interval '30 days'
""")

_OF = "run_id = :run_id and vendor = :vendor and table_name = :table_name"
_PIECE = 500
REST_S = 900.0
"""A vendor that is asked for the same thing more often may say that it has not changed, though it has."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one run's fan-out; `contract` is the hash of the table's declaration, `clock` tells when they came."""

    engine: sa.Engine
    run_id: str
    vendor: str
    table_name: str
    contract: str = ""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def known(self) -> set[str]:
        """What was asked for and answered."""
        with self.engine.connect() as connection:
            query = sa.text(f"select asked_for from control.answer where {_OF}")  # noqa: S608
            return set(connection.scalars(query, self._values))

    def began_at(self) -> datetime:
        """When the first of them came, at a try before this one; now, where none has."""
        with self.engine.connect() as connection:
            first: datetime | None = connection.scalar(
                sa.text(f"select min(answered_at) from control.answer where {_OF}"),  # noqa: S608
                self._values,
            )
        return min(first or self.clock(), self.clock())

    def keep(self, asked_for: str, rows: bytes, etag: str = "") -> None:
        """Keeps an answer, a JSON array of rows; the first one stays. With an ETag it is known to later runs, too."""
        values = self._values | {"asked_for": asked_for, "rows": rows, "now": self.clock()}
        with self.engine.begin() as connection:
            if etag:
                connection.execute(_KNOW, values | {"contract": self.contract, "etag": etag})
            connection.execute(_KEEP, values)

    def take_etags(self, wanted: Collection[str]) -> dict[str, str]:
        """ETags by what is going to be asked for, of answers that are known from runs before; once in `REST_S` seconds."""
        values = self._values | {"contract": self.contract, "wanted": list(wanted), "rest_s": REST_S}
        with self.engine.begin() as connection:
            return {row.asked_for: row.etag for row in connection.execute(_TAKE_ETAGS, values)}

    def keep_known(self, asked_for: str, etag: str) -> bool:
        """Keeps the answer that is known by this ETag; False where it is not any more."""
        values = self._values | {"asked_for": asked_for, "etag": etag, "contract": self.contract, "now": self.clock()}
        with self.engine.begin() as connection:
            return connection.execute(_KEEP_KNOWN, values).rowcount == 1

    def pieces(self) -> Iterator[bytes]:
        """Yields all rows, as JSON arrays of some hundred answers, in the order of what was asked for."""
        query = sa.text(f"select rows from control.answer where {_OF} order by asked_for")  # noqa: S608
        with self.engine.connect().execution_options(stream_results=True) as connection:
            for some in connection.execute(query, self._values).scalars().partitions(_PIECE):
                inner = (bytes(rows).strip()[1:-1] for rows in some)
                yield b"[" + b",".join(each for each in inner if each) + b"]"

    def forget(self) -> None:
        """Drops them: the partition is complete."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"delete from control.answer where {_OF}"), self._values)  # noqa: S608
            connection.execute(_FORGET_KNOWN, self._values)

    @property
    def _values(self) -> dict[str, str]:
        return {"run_id": self.run_id, "vendor": self.vendor, "table_name": self.table_name}
