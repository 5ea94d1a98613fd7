"""Wakes a DAG when there is something in the database that waits for it.

A bell (LISTEN and NOTIFY of PostgreSQL) may be lost or ring twice. So what waits is looked at, too: when a bell rings, and every
half minute. An event of Airflow says only that something waits; several at once become one run, which takes all there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.gateway.api.request_queue import IS_WAITING as IS_REQUESTED
from include.outbound.outbox import IS_WAITING_NOW

LOOK_S = 30.0
"""How long a lost bell can go unnoticed."""
REST_S = 1.0
"""Between two events: bells that ring meanwhile are one."""

WAITING = {
    "tributary_inbox": "select exists (select from control.inbox where processed_at is null)",
    "tributary_outbox": IS_WAITING_NOW,
    "tributary_requests": IS_REQUESTED,
}
"""Channel -> question whether anything waits."""


class WakeUp(BaseEventTrigger):
    """Rings while something waits.

    Args:
        channel: One of `WAITING`.
    """

    def __init__(self, channel: str) -> None:
        super().__init__()
        self.channel = channel

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow makes it again in the triggerer."""
        return "tributary.triggers.wake_up.WakeUp", {"channel": self.channel}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields an event whenever something waits that no event has told of yet, and again while it goes on waiting."""
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
                            await asyncio.sleep(REST_S)
                            await self._hear(db, LOOK_S - REST_S)
                        else:
                            await self._hear(db, LOOK_S)
            except (psycopg.OperationalError, OSError) as error:
                self.log.warning("The database is away (%s); the bell goes on when it is back", type(error).__name__)
                await asyncio.sleep(REST_S)

    async def _is_waiting(self, db: Any) -> bool:
        row = await (await db.execute(WAITING[self.channel])).fetchone()
        return bool(row[0])

    async def _hear(self, db: Any, seconds: float) -> None:
        """Waits for a bell, at most so long."""
        with suppress(TimeoutError):
            async for _ in db.notifies(timeout=seconds, stop_after=1):
                return
