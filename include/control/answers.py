"""Store the responses that a fan-out has received so far. A fan-out that was killed resumes from them, even hours later.

The stored rows are flat, and their sensitive fields are already tokens. They are encrypted like the files of staging; each can be decrypted
only in its own table row. They are deleted once the partition is complete. A response with an ETag is also stored for later runs, so that
the vendor need not send an unchanged response again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from include.keys.sealer import Sealer

_STORE = sa.text("""
insert into control.answer (run_id, vendor, table_name, request_key, rows, answered_at)
values (:run_id, :vendor, :table_name, :request_key, :rows, :now) on conflict do nothing
""")

_STORE_WITH_ETAG = sa.text("""
insert into control.known_answer as k (vendor, table_name, request_key, contract, etag, rows)
values (:vendor, :table_name, :request_key, :contract, :etag, :rows)
on conflict (vendor, table_name, request_key) do update
set contract = excluded.contract, etag = excluded.etag, rows = excluded.rows, requested_at = excluded.requested_at
""")
_TAKE_ETAGS = sa.text("""
update control.known_answer set requested_at = clock_timestamp()
where vendor = :vendor and table_name = :table_name and contract = :contract and request_key = any(:wanted)
  and requested_at < clock_timestamp() - make_interval(secs => :rest_s)
  and convert_from(substr(rows, 6, get_byte(rows, 4)), 'UTF8') = any(:key_ids)  -- the key that the rows are sealed under: see Sealer
returning request_key, etag
""")
_READ_KNOWN = sa.text("""
select rows from control.known_answer
where vendor = :vendor and table_name = :table_name and request_key = :request_key and contract = :contract and etag = :etag
""")
_OF = "run_id = :run_id and vendor = :vendor and table_name = :table_name"
_PIECE = 500
REST_S = 900.0
"""Minimum seconds between two conditional requests for the same item. If they come sooner, a vendor may wrongly report "not modified"."""


def place_of(run_id: str, vendor: str, table_name: str, request_key: str) -> str:
    """Return the place for which the rows of a run's response are sealed: the table and the row's key."""
    return json.dumps(["answer", run_id, vendor, table_name, request_key])


def format_place(vendor: str, table_name: str, request_key: str, contract: str, etag: str) -> str:
    """Return the text to which the sealed rows of a response with an ETag are bound: vendor, table, request, contract and ETag."""
    return json.dumps(["known_answer", vendor, table_name, request_key, contract, etag])


@dataclass(frozen=True, slots=True)
class Answers:
    """The stored responses of one run's fan-out.

    Attributes:
        engine: The control database.
        run_id: The run.
        vendor: Name of the vendor.
        table_name: The table that the fan-out requests.
        sealer: Encrypts the rows.
        contract: Hash of the table's declaration. A response stored under another hash is not used, because only declared fields are
            stored. A run is stored as its id and this hash.
        clock: Returns the time at which a response is stored.
    """

    engine: sa.Engine
    run_id: str
    vendor: str
    table_name: str
    sealer: Sealer
    contract: str = ""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def list_known(self) -> set[str]:
        """Return the keys of the requests whose responses are stored for this run."""
        with self.engine.connect() as connection:
            query = sa.text(f"select request_key from control.answer where {_OF}")  # noqa: S608
            return set(connection.scalars(query, self._values))

    def find_start(self) -> datetime:
        """Return when this run's first response was stored, in this try or an earlier one; the current time if there is none."""
        with self.engine.connect() as connection:
            first: datetime | None = connection.scalar(
                sa.text(f"select min(answered_at) from control.answer where {_OF}"),  # noqa: S608
                self._values,
            )
        return min(first or self.clock(), self.clock())

    def keep(self, request_key: str, rows: bytes, etag: str = "") -> None:
        """Store the response to a request.

        Args:
            request_key: Key of the request. If this run has a response for it already, that response stays.
            rows: The response's rows, as a JSON array.
            etag: The response's ETag. With an ETag, the response is also stored for later runs, in place of an earlier one.
        """
        with self.engine.begin() as connection:
            if etag:
                sealed = self.sealer.seal_file(rows, self._find_place(request_key, etag))
                values = {"request_key": request_key, "rows": sealed, "contract": self.contract, "etag": etag}
                connection.execute(_STORE_WITH_ETAG, self._values | values)
            self._store(connection, request_key, rows)

    def take_etags(self, keys: Collection[str]) -> dict[str, str]:
        """Return the ETags of responses that earlier runs stored, by request key.

        Leaves out a response that was requested in the last `REST_S` seconds, and one whose key was removed from the keyring. Each response in the result counts as requested now.
        """
        values: dict[str, object] = {"contract": self.contract, "wanted": list(keys), "rest_s": REST_S}
        values |= self._values | {"key_ids": list(self.sealer.key_ids)}
        with self.engine.begin() as connection:
            return {row.request_key: row.etag for row in connection.execute(_TAKE_ETAGS, values)}

    def keep_known(self, request_key: str, etag: str) -> bool:
        """Store for this run the response that an earlier run stored with this ETag; return False if it is no longer stored."""
        values = self._values | {"request_key": request_key, "etag": etag, "contract": self.contract}
        with self.engine.begin() as connection:
            known = connection.scalar(_READ_KNOWN, values)
            if known is None:
                return False
            rows = self.sealer.open_file(bytes(known), self._find_place(request_key, etag))
            self._store(connection, request_key, rows)
            return True

    def pieces(self, keys: Collection[str]) -> Iterator[bytes]:
        """Yield the rows of this run's responses to the given requests, in the order of the request keys.

        Args:
            keys: Keys of the requests. An earlier try of the run may have stored others, of parent rows that were removed since.

        Yields:
            JSON arrays, of up to 500 responses each.
        """
        query = sa.text(
            f"select request_key, rows from control.answer where {_OF} and request_key = any(:wanted) order by request_key"  # noqa: S608
        )
        with self.engine.connect().execution_options(stream_results=True) as connection:
            for some in connection.execute(query, {**self._values, "wanted": list(keys)}).partitions(_PIECE):
                opened = (self.sealer.open_file(bytes(row.rows), self._find_own_place(row.request_key)) for row in some)
                inner = (rows.strip()[1:-1] for rows in opened)
                yield b"[" + b",".join(each for each in inner if each) + b"]"

    def forget(self) -> None:
        """Delete this run's responses, when the partition is complete, or when the stored responses may be stale.

        Responses with an ETag stay until the DAG `dispose_expired_data` disposes of those that no run has requested for some time.
        """
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"delete from control.answer where {_OF}"), self._values)  # noqa: S608

    def _store(self, connection: sa.Connection, request_key: str, rows: bytes) -> None:
        sealed = self.sealer.seal_file(rows, self._find_own_place(request_key))
        values = {"request_key": request_key, "rows": sealed, "now": self.clock()}
        connection.execute(_STORE, self._values | values)

    def _find_place(self, request_key: str, etag: str) -> str:
        return format_place(self.vendor, self.table_name, request_key, self.contract, etag)

    def _find_own_place(self, request_key: str) -> str:
        return place_of(self._values["run_id"], self.vendor, self.table_name, request_key)

    @property
    def _values(self) -> dict[str, str]:
        run_id = f"{self.run_id} {self.contract}".rstrip()
        return {"run_id": run_id, "vendor": self.vendor, "table_name": self.table_name}
