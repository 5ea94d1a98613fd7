"""Receive Salesforce's change events in the triggerer; see `include.crm.changes`.

The trigger subscribes if the extra of the connection `salesforce` contains `pubsub`, the Pub/Sub address; it checks the connection every
minute. Received events are stored in the database. Airflow gets an event only when a subscription fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

POLL_S = 60.0
PATIENCE_S = 900.0
"""Seconds for which a subscription may fail before it is reported."""
UNREAD_S = 3900.0
"""How far back, in seconds, to look for events that could not be decoded: slightly more than an hour, the interval of the check."""


class Changes(BaseEventTrigger):
    """Keep the subscriptions running; yield an event when the subscription of a topic has failed for `PATIENCE_S`."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and arguments, from which the triggerer creates it."""
        return "tributary.triggers.crm_changes.Changes", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Subscribe, and resubscribe when the subscription ends. If a further topic fails, yield an event with all failing topics."""
        subscription: asyncio.Task[None] | None = None
        reported: set[str] = set()
        try:
            while True:
                if subscription is None or subscription.done():
                    self._log_end(subscription)
                    subscription = await self._start()
                await asyncio.sleep(POLL_S)
                silent = await asyncio.to_thread(self._find_troubles) if subscription is not None else set()
                if silent - reported:
                    yield TriggerEvent({"topics": sorted(silent)})
                reported = silent
        finally:
            if subscription is not None:
                subscription.cancel()
                await asyncio.gather(subscription, return_exceptions=True)

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
            engine, key = await asyncio.to_thread(lambda: (connections.database(), connections.receiving_key()))
        except Exception as error:  # the connection may be created or fixed later
            self.log.warning("Salesforce's change events are not received: %s", type(error).__name__)
            return None
        return asyncio.create_task(listen(engine, connection, plan_refresh, lambda topic, new: None, key))

    def _log_end(self, subscription: asyncio.Task[None] | None) -> None:
        if subscription is not None and not subscription.cancelled() and (error := subscription.exception()):
            self.log.warning("Salesforce's change events are not received: %s: %s", type(error).__name__, error)

    def _find_troubles(self) -> set[str]:
        try:
            return set(find_troubles() or {})
        except Exception as error:
            self.log.warning("The database is unavailable (%s)", type(error).__name__)
            return set()


def find_troubles() -> dict[str, str] | None:
    """Return the topics whose subscription has failed for `PATIENCE_S`, with the reason; None if the connection has no `pubsub`."""
    from include.crm.changes import store
    from include.crm.changes.subscriber import TOPICS
    from tributary import connections

    if not connections.connection("salesforce").extra.get("pubsub"):
        return None
    return store.find_troubles(connections.database(), [topic.name for topic in TOPICS], PATIENCE_S)


def find_unread() -> dict[str, list[int]]:
    """Return the inbox ids of the events of the last `UNREAD_S` that could not be decoded, by topic."""
    from include.crm.changes import store
    from include.crm.changes.subscriber import TOPICS
    from tributary import connections

    return store.find_unread(connections.database(), [topic.name for topic in TOPICS], UNREAD_S)
