"""Every call to a vendor, as a row: path, status, latency, bytes, the vendor's correlation id."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

_INSERT = sa.text("""
insert into control.api_call (called_at, vendor, table_name, path, status, latency_ms, bytes, correlation_id, run_id)
values (:called_at, :vendor, :table_name, :path, :status, :latency_ms, :bytes, :correlation_id, :run_id)
""")


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `status` is None where no answer came; the path holds no query string."""

    called_at: datetime
    path: str
    status: int | None
    latency_ms: float
    bytes: int
    correlation_id: str | None


class CallLog:
    """Collects the calls of one task and writes them in one statement.

    Args:
        engine: The control database.
        vendor: Whom was called.
        table_name: For which table.
        run_id: In which run.
    """

    def __init__(self, engine: sa.Engine, vendor: str, table_name: str, run_id: str) -> None:
        self._engine = engine
        self._of = {"vendor": vendor, "table_name": table_name, "run_id": run_id}
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def table_name(self) -> str:
        """For which table calls are made; empty for none."""
        return self._of["table_name"]

    def add(self, call: Call) -> None:
        """Notes one call."""
        with self._lock:
            self._calls.append(call)

    def flush(self) -> None:
        """Writes what was noted since the last time."""
        with self._lock:
            calls, self._calls = self._calls, []
        if calls:
            with self._engine.begin() as connection:
                connection.execute(_INSERT, [asdict(call) | self._of for call in calls])
