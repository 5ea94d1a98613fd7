"""Start a DAG when rows in the database wait for it.

A notification (LISTEN and NOTIFY of PostgreSQL) may be lost or arrive twice. So the trigger queries whether rows wait, at each notification
and every half minute. An Airflow event says only that rows wait: Airflow may merge several events into one run, which processes all rows.
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
"""Seconds between two queries without a notification, and so the longest delay after a lost one."""
PAUSE_S = 1.0
"""Seconds to pause after an event, so that a burst of notifications causes one event."""

WAITING = {
    "tributary_inbox": "select exists (select from control.inbox where processed_at is null)",
    "tributary_outbox": IS_WAITING_NOW,
    "tributary_requests": IS_REQUESTED,
}
"""For each notification channel, the SQL query that returns whether rows wait."""


class WakeUp(BaseEventTrigger):
    """Yield an event when rows wait, and repeat it while they keep waiting.

    Args:
        channel: A key of `WAITING`.
    """

    def __init__(self, channel: str) -> None:
        super().__init__()
        self.channel = channel

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and arguments, from which the triggerer creates it."""
        return "tributary.triggers.wake_up.WakeUp", {"channel": self.channel}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Listen on the channel and yield an event when rows wait; reconnect if the database is unavailable."""
        import psycopg

        from tributary import connections

        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    await asyncio.to_thread(connections.database_url), autocommit=True, prepare_threshold=None
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
        """Return at the next notification, or after `seconds` without one."""
        with suppress(TimeoutError):
            async for _ in db.notifies(timeout=seconds, stop_after=1):
                return
