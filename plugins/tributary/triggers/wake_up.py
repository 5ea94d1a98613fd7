"""Wake a DAG when rows in the database wait for it.

A notification (LISTEN and NOTIFY of PostgreSQL) may be lost or arrive twice. So the trigger queries the waiting rows at each notification and every
half minute. An Airflow event says only that rows wait; Airflow merges several events into one run, which processes all rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.gateway.api.request_queue import IS_WAITING as IS_REQUESTED
from include.outbound.outbox import IS_WAITING_NOW

POLL_S = 30.0
"""Longest delay after a lost notification."""
PAUSE_S = 1.0
"""Between two events: notifications in between become one."""

WAITING = {
    "tributary_inbox": "select exists (select from control.inbox where processed_at is null)",
    "tributary_outbox": IS_WAITING_NOW,
    "tributary_requests": IS_REQUESTED,
}
"""Channel -> query whether rows wait."""


class WakeUp(BaseEventTrigger):
    """Emit an event while rows wait.

    Args:
        channel: One of `WAITING`.
    """

    def __init__(self, channel: str) -> None:
        super().__init__()
        self.channel = channel

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Serialize the trigger for the triggerer."""
        return "tributary.triggers.wake_up.WakeUp", {"channel": self.channel}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event when rows wait, and again while they keep waiting."""
        import psycopg

        from tributary import connections

        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    await asyncio.to_thread(connections.database_url), autocommit=True
                ) as db:
                    await db.execute(f"listen {self.channel}")  # type: ignore[arg-type]  # one of our own names
                    while True:
                        if await self._is_waiting(db):
                            yield TriggerEvent({"channel": self.channel})
                            await asyncio.sleep(PAUSE_S)
                            await self._wait_for_notification(db, POLL_S - PAUSE_S)
                        else:
                            await self._wait_for_notification(db, POLL_S)
            except (psycopg.OperationalError, OSError) as error:
                self.log.warning(
                    "The database is unavailable (%s); listening resumes when it is back", type(error).__name__
                )
                await asyncio.sleep(PAUSE_S)

    async def _is_waiting(self, db: Any) -> bool:
        row = await (await db.execute(WAITING[self.channel])).fetchone()
        return bool(row[0])

    async def _wait_for_notification(self, db: Any, seconds: float) -> None:
        """Wait for a notification, at most this long."""
        with suppress(TimeoutError):
            async for _ in db.notifies(timeout=seconds, stop_after=1):
                return
