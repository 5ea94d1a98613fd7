"""What a fan-out was answered so far: so that one that was killed goes on where it stopped, hours later.

The rows are flat, and sensitive fields are tokens already. They are kept until the partition is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

_KEEP = sa.text("""
insert into control.answer (run_id, vendor, table_name, asked_for, rows) values (:run_id, :vendor, :table_name, :asked_for, :rows)
on conflict do nothing
""")

_OF = "run_id = :run_id and vendor = :vendor and table_name = :table_name"
_PIECE = 500


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one run's fan-out."""

    engine: sa.Engine
    run_id: str
    vendor: str
    table_name: str

    def known(self) -> set[str]:
        """What was asked for and answered."""
        with self.engine.connect() as connection:
            query = sa.text(f"select asked_for from control.answer where {_OF}")  # noqa: S608
            return set(connection.scalars(query, self._values))

    def keep(self, asked_for: str, rows: bytes) -> None:
        """Keeps an answer, a JSON array of rows; the first one stays."""
        with self.engine.begin() as connection:
            connection.execute(_KEEP, self._values | {"asked_for": asked_for, "rows": rows})

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

    @property
    def _values(self) -> dict[str, str]:
        return {"run_id": self.run_id, "vendor": self.vendor, "table_name": self.table_name}
