"""The log of calls to vendors, one row per call: method, path, status, latency, bytes, the vendor's correlation id."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

_INSERT = sa.text("""
insert into control.api_call (called_at, vendor, table_name, method, path, status, latency_ms, bytes, correlation_id, run_id)
values (:called_at, :vendor, :table_name, :method, :path, :status, :latency_ms, :bytes, :correlation_id, :run_id)
""")


_SUCCESS = (200, 201, 202)
_HAS_ANSWERED = sa.text("""
select exists (
    select from control.api_call
    where vendor = :vendor and path = :path and status in (200, 201, 202) and called_at > now() - interval '14 days'
)
""")


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `path` contains no query string; `status` is None if there was no response; `method` is None for a login."""

    called_at: datetime
    path: str
    status: int | None
    latency_ms: float
    bytes: int
    correlation_id: str | None
    method: str | None = None


class CallLog:
    """Collects the calls of one task and writes them in one statement.

    Args:
        engine: The control database.
        vendor: The vendor that is called.
        table_name: The table that the calls are for.
        run_id: The run that makes the calls.
    """

    def __init__(self, engine: sa.Engine, vendor: str, table_name: str, run_id: str) -> None:
        self._engine = engine
        self._of = {"vendor": vendor, "table_name": table_name, "run_id": run_id}
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def vendor(self) -> str:
        """The vendor that is called."""
        return self._of["vendor"]

    @property
    def table_name(self) -> str:
        """The table that the calls are for; empty for none."""
        return self._of["table_name"]

    def has_answered(self, path: str) -> bool:
        """Return whether a call to this path has succeeded, in this task or in the last 14 days."""
        with self._lock:
            if any(call.path == path and call.status in _SUCCESS for call in self._calls):
                return True
        with self._engine.connect() as connection:
            return bool(connection.scalar(_HAS_ANSWERED, {"vendor": self._of["vendor"], "path": path}))

    def add(self, call: Call) -> None:
        """Add one call, which the next `flush` writes."""
        with self._lock:
            self._calls.append(call)

    def flush(self) -> None:
        """Write the calls added since the last flush."""
        with self._lock:
            calls, self._calls = self._calls, []
        if calls:
            with self._engine.begin() as connection:
                connection.execute(_INSERT, [asdict(call) | self._of for call in calls])
