"""Hears what people change in Salesforce, in the triggerer, as long as that lives; see `include.crm.changes`.

It is on where the connection `salesforce` says where (`pubsub` in its extra), and begins to listen within a minute. What it hears is
in the database when it is heard; Airflow is told only when a topic is not heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

LOOK_S = 60.0
PATIENCE_S = 900.0
"""How long a topic may not be heard until people are told."""
UNREAD_S = 3900.0
"""Events that could not be read are looked for so far back: a little more than from one hourly look to the next."""


class Changes(BaseEventTrigger):
    """Listens, and yields an event when a topic is not heard for too long."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow makes it again in the triggerer."""
        return "tributary.triggers.crm_changes.Changes", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Listens for ever."""
        hearing: asyncio.Task[None] | None = None
        told: set[str] = set()
        try:
            while True:
                if hearing is None or hearing.done():
                    self._say_end(hearing)
                    hearing = await self._start()
                await asyncio.sleep(LOOK_S)
                silent = await asyncio.to_thread(self._find_troubles) if hearing is not None else set()
                if silent - told:
                    yield TriggerEvent({"topics": sorted(silent)})
                told = silent
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _start(self) -> asyncio.Task[None] | None:
        from include.crm.changes.subscriber import listen
        from include.pipeline.refresh import plan_refresh
        from tributary import connections

        try:
            if not await asyncio.to_thread(connections.is_connected, "salesforce"):
                return None
            connection = await asyncio.to_thread(connections.connection, "salesforce")
            if not connection.extra.get("pubsub"):
                return None
            engine = await asyncio.to_thread(connections.database)
        except Exception as error:  # the connection may come, or come right, later
            self.log.warning("Salesforce is not heard: %s", type(error).__name__)
            return None
        return asyncio.create_task(listen(engine, connection, plan_refresh, lambda topic, new: None))

    def _say_end(self, hearing: asyncio.Task[None] | None) -> None:
        if hearing is not None and not hearing.cancelled() and (error := hearing.exception()):
            self.log.warning("Salesforce is not heard: %s: %s", type(error).__name__, error)

    def _find_troubles(self) -> set[str]:
        try:
            return set(find_troubles() or {})
        except Exception as error:
            self.log.warning("The database is away (%s)", type(error).__name__)
            return set()


def find_troubles() -> dict[str, str] | None:
    """Returns topics that are not heard for too long, and why; None where nobody wants them heard."""
    from include.crm.changes import store
    from include.crm.changes.subscriber import TOPICS
    from tributary import connections

    if not connections.connection("salesforce").extra.get("pubsub"):
        return None
    return store.find_troubles(connections.database(), [topic.name for topic in TOPICS], PATIENCE_S)


def find_unread() -> dict[str, list[int]]:
    """Returns topics of which events of the last hour could not be read, and where in the inbox those are."""
    from include.crm.changes import store
    from include.crm.changes.subscriber import TOPICS
    from tributary import connections

    return store.find_unread(connections.database(), [topic.name for topic in TOPICS], UNREAD_S)
