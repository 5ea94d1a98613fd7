"""Subscribe to Salesforce: one endless stream per topic. Events are stored in the warehouse before more are requested.

Events arrive at least once, sometimes out of order, and Salesforce retains them for 72 hours. If a topic's cursor is no longer valid,
the missed changes are read by query. The stream then resumes with new events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import sqlalchemy as sa

from include.connection import Connection, require_https
from include.control.calls import CallLog
from include.crm.changes import pubsub as api
from include.crm.changes import store
from include.crm.changes.decoding import (
    EPOCH,
    Change,
    Decoded,
    EventSchema,
    Unreadable,
    is_ours,
    read_change,
    read_event,
)
from include.crm.changes.records import Records
from include.crm.changes.refresh import EVENT, Plan, refresh
from include.crm.changes.stored import find_stored
from include.crm.own_org import require_own_org
from include.crm.salesforce import CLIENT, VENDOR, SalesforceSession
from include.errors import AuthenticationError, ConfigurationError, FatalError, SchemaDrift, TargetUnavailable
from include.keys.inbox import ReceivingKey

log = logging.getLogger(__name__)
T = TypeVar("T")

MARGIN = timedelta(minutes=15)
"""Maximum delay between a record's timestamp and the commit of its change. A query for missed changes starts that much earlier."""
SILENCE_S = 330.0
"""Seconds without a response after which a stream is considered dead. Salesforce responds at least every 270 seconds, even if there is no
event."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic to subscribe to.

    Attributes:
        sobject: The object whose changes the topic sends; empty for platform events.
        is_read_first: Whether all records are read at the first subscription, because no other source has them.
        follows: Field -> the fields that Salesforce derives from it. A change event may leave out derived fields.
    """

    name: str
    sobject: str = ""
    is_read_first: bool = False
    follows: dict[str, frozenset[str]] = field(default_factory=dict)


TOPICS = (
    Topic("/data/AccountChangeEvent", "Account"),
    Topic("/data/ContactChangeEvent", "Contact"),
    Topic("/data/OpportunityChangeEvent", "Opportunity", True, {"StageName": frozenset({"IsWon", "IsClosed"})}),
    Topic(f"/event/{EVENT}"),
)

OnChanges = Callable[[str, int], None]


class InvalidCursor(Exception):
    """Salesforce no longer accepts the replay id from which to resume."""


async def listen(
    engine: sa.Engine,
    connection: Connection,
    plan: Plan,
    on_changes: OnChanges,
    key: ReceivingKey,
    topics: Sequence[Topic] = TOPICS,
) -> None:
    """Subscribe to topics until cancelled. After an error, record it with the topic (`control.crm_topic`) and retry.

    Args:
        engine: The database, as the listening or the loading role.
        connection: The connection to the org; `extra["pubsub"]` is the URL of the Pub/Sub API, such as
            `https://api.pubsub.salesforce.com:7443`.
        plan: Plans the runs for a refresh event.
        on_changes: Called with the topic and the number of new changes, if there are any.
        key: Encrypts events that can't be decoded, for the inbox.
        topics: The topics.

    Raises:
        ConfigurationError: The URL is missing, or would send our token unencrypted.
    """
    channel = _open(connection.extra.get("pubsub", ""))
    async with channel, asyncio.TaskGroup() as subscriptions:
        for topic in topics:
            subscriptions.create_task(_Subscription(engine, connection, plan, on_changes, key, topic, channel).run())


def _open(url: str) -> Any:
    require_https(url, "pubsub in the extra of the connection salesforce")
    parts = urlsplit(url)
    if parts.scheme == "http":
        return grpc.aio.insecure_channel(f"{parts.hostname}:{parts.port or 80}")
    return grpc.aio.secure_channel(f"{parts.hostname}:{parts.port or 443}", grpc.ssl_channel_credentials())


class _Subscription:
    """The subscription to one topic."""

    def __init__(
        self,
        engine: sa.Engine,
        connection: Connection,
        plan: Plan,
        on_changes: OnChanges,
        key: ReceivingKey,
        topic: Topic,
        channel: Any,
    ) -> None:
        self._engine, self._plan, self._on_changes, self._key = engine, plan, on_changes, key
        self._topic, self._channel = topic, channel
        self._calls = CallLog(engine, VENDOR, topic.sobject, "changes")
        self._connection, self._session = connection, SalesforceSession(connection, self._calls)
        self._records = Records(self._session, topic.sobject)
        self._kinds: dict[str, str] = {}
        self._schemas: dict[str, EventSchema] = {}
        self._names: list[str] = []
        self._metadata: list[tuple[str, str]] = []

    async def run(self) -> None:
        """Subscribe forever; retry after every error."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async for _ in self._receive():
                    pause = _FIRST_PAUSE_S
            except InvalidCursor:
                log.warning("%s: the cursor is no longer valid; missed changes are read by query", self._topic.name)
                await asyncio.to_thread(store.clear_cursor, self._engine, self._topic.name)
                continue
            except Exception as error:  # retry whatever the error; it is recorded for operators
                self._metadata = []
                pause = _LONGEST_PAUSE_S if isinstance(error, FatalError) else pause
                await self._record_error(error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _record_error(self, error: Exception) -> None:
        log.warning("%s: %s: %s", self._topic.name, type(error).__name__, error)
        try:
            message = str(error) if isinstance(error, (FatalError, TargetUnavailable)) else type(error).__name__
            await asyncio.to_thread(store.record_error, self._engine, self._topic.name, message)
        except Exception as other:  # the database itself is unavailable
            log.warning("%s: %s", self._topic.name, type(other).__name__)

    async def _receive(self) -> Any:
        """Open the stream and store its events; yield after each response.

        If the cursor of an object's topic has no replay id, read the missed changes by query, before and after the stream begins.
        """
        await self._log_in()
        cursor = await asyncio.to_thread(store.read_cursor, self._engine, self._topic.name)
        is_behind = cursor.replay_id is None and bool(self._topic.sobject)
        if is_behind:
            await self._catch_up(cursor.received_at)
        elif cursor.replay_id is None:
            await self._find_names()
            await self._store([], None, None)
        call = self._method("Subscribe", self._channel.stream_stream)(metadata=self._metadata)
        outstanding = api.MOST_OUTSTANDING
        first = {"replay_preset": api.CUSTOM, "replay_id": cursor.replay_id} if cursor.replay_id else {}
        try:
            await call.write(self._request(outstanding, **first))
            while (answer := await _in_time(call.read())) is not grpc.aio.EOF:
                if is_behind:  # the stream has begun: read the changes between the query and its beginning
                    await self._catch_up(
                        (await asyncio.to_thread(store.read_cursor, self._engine, self._topic.name)).received_at
                    )
                    is_behind = False
                await self._process(answer)
                yield answer
                outstanding -= len(answer.events)
                if outstanding <= api.MOST_OUTSTANDING // 2:
                    await call.write(self._request(api.MOST_OUTSTANDING - outstanding))
                    outstanding = api.MOST_OUTSTANDING
            raise _translate(await call.code(), await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise _translate(error.code(), error.trailing_metadata()) from error
        except asyncio.InvalidStateError as error:  # the stream ended while we requested more
            raise _translate(await call.code(), await call.trailing_metadata()) from error
        finally:
            call.cancel()

    def _request(self, count: int, **begin: Any) -> Any:
        return api.MESSAGES["FetchRequest"](topic_name=self._topic.name, num_requested=count, **begin)

    async def _process(self, answer: Any) -> None:
        """Store a response's changes and move the cursor past them. A response without events only moves the cursor."""
        events = [await self._read(each.event) for each in answer.events]
        changes = [change for each in events for change in each.changes]
        received_at = max((each.committed_at for each in events), default=None)
        ids = sorted({each for event in events for each in event.unread_ids})
        if ids:
            changes += await asyncio.to_thread(self._records.read_ids, self._names, ids)
        if overflows := [each for each in events if each.is_overflow]:
            cursor = await asyncio.to_thread(store.read_cursor, self._engine, self._topic.name)
            await self._catch_up(min(filter(None, [cursor.received_at, *(each.committed_at for each in overflows)])))
        await self._store(
            changes, answer.latest_replay_id, received_at, [each.unread for each in events if each.unread]
        )

    async def _read(self, event: Any) -> Decoded:
        """Decode an event. If we made the change ourselves, return only its time.

        If a change event can't be decoded, set `is_overflow`, so that the changes of the whole object are read by query.
        """
        if not self._topic.sobject:
            return await self._read_event(event)
        try:
            decoded = read_change(await self._find_schema(event.schema_id), event.payload, self._topic.follows)
        except SchemaDrift as error:
            log.warning("%s: %s; the changes are read by query", self._topic.name, error)
            cursor = await asyncio.to_thread(store.read_cursor, self._engine, self._topic.name)
            newest = cursor.received_at or await asyncio.to_thread(self._records.find_newest)
            return Decoded(self._topic.sobject, newest or datetime.now(UTC), is_overflow=True)
        return Decoded(decoded.object, decoded.committed_at) if is_ours(decoded.origin, CLIENT) else decoded

    async def _read_event(self, event: Any) -> Decoded:
        """Decode a platform event.

        No query can read a platform event again. So an event that can't be decoded does not stop the stream: it is returned as `unread`,
        and stored in the inbox.
        """
        try:
            change = read_event(await self._find_schema(event.schema_id), event.payload, event.id)
        except SchemaDrift as error:
            log.warning("%s: %s; the event is stored in the inbox", self._topic.name, error)
            return Decoded(
                self._topic.name, EPOCH, unread=Unreadable(event.id, event.schema_id, event.payload, str(error))
            )
        return Decoded(change.object, change.committed_at, changes=[change])

    async def _catch_up(self, received_at: datetime | None) -> None:
        """Read missed changes by query and store them.

        With a time, read the changes since `MARGIN` before it. Without a time, read all records if the topic is `is_read_first`; otherwise
        store only the time of the object's newest change.
        """
        await self._find_names()
        if received_at is None and not self._topic.is_read_first:
            await self._store([], None, await asyncio.to_thread(self._records.find_newest))
            return
        pages = self._records.read_since(self._names, received_at - MARGIN if received_at else None)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            # `committed_at` is the end of the second of the record's stamp, which may be later than the commits received.
            newest = max((each.committed_at for each in page), default=None)
            await self._store(page, None, newest and newest.replace(microsecond=0))

    async def _store(
        self,
        changes: list[Change],
        replay_id: bytes | None,
        received_at: datetime | None,
        unread: Sequence[Unreadable] = (),
    ) -> None:
        new = await asyncio.to_thread(
            store.store_changes, self._engine, self._topic.name, changes,
            replay_id=replay_id, received_at=received_at, on_event=self._on_event, unread=unread, key=self._key,
        )  # fmt: skip
        if new:
            self._on_changes(self._topic.name, new)
        await asyncio.to_thread(self._calls.flush)

    def _on_event(self, db: sa.Connection, change: Change) -> None:
        if change.object == EVENT:
            refresh(db, change, self._plan)

    async def _find_schema(self, schema_id: str) -> EventSchema:
        if schema_id not in self._schemas:
            request = api.MESSAGES["SchemaRequest"](schema_id=schema_id)
            try:
                answer = await self._method("GetSchema", self._channel.unary_unary)(request, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                raise _translate(error.code(), error.trailing_metadata()) from error
            if self._topic.sobject:
                self._kinds = await asyncio.to_thread(self._records.describe)
            stored = find_stored(self._connection, self._topic.sobject or EVENT)
            schema = self._schemas[schema_id] = EventSchema(answer.schema_json, self._kinds, stored)
            self._names = _list_names(schema, self._topic)
        return self._schemas[schema_id]

    async def _find_names(self) -> None:
        """Read the topic's current schema. Set the names of the fields that queries read: those whose values are stored."""
        request = api.MESSAGES["TopicRequest"](topic_name=self._topic.name)
        try:
            answer = await self._method("GetTopic", self._channel.unary_unary)(request, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise _translate(error.code(), error.trailing_metadata()) from error
        self._names = _list_names(await self._find_schema(answer.schema_id), self._topic)

    async def _log_in(self) -> None:
        is_new = not self._metadata
        ticket = await asyncio.to_thread(lambda: self._session.find_ticket(is_new=is_new))
        await asyncio.to_thread(require_own_org, self._engine, ticket.org_id)
        self._metadata = [
            ("accesstoken", ticket.token),
            ("instanceurl", ticket.instance_url),
            ("tenantid", ticket.org_id),
        ]

    def _method(self, name: str, kind: Any) -> Any:
        request, response = api.METHODS[name]
        return kind(
            api.path_of(name),
            request_serializer=api.MESSAGES[request].SerializeToString,
            response_deserializer=api.MESSAGES[response].FromString,
        )


def _list_names(schema: EventSchema, topic: Topic) -> list[str]:
    more = [name for names in topic.follows.values() for name in sorted(names)]
    return list(dict.fromkeys([*schema.list_names(), *more]))


async def _in_time(reading: Any) -> Any:
    try:
        return await asyncio.wait_for(reading, SILENCE_S)
    except TimeoutError as error:
        raise TargetUnavailable("Salesforce's event stream sent nothing; reconnecting", seconds=SILENCE_S) from error


def _translate(status: Any, trailers: Any) -> Exception:
    """Return our error for a gRPC status and Salesforce's error code. The error's class decides the retry."""
    code = str(dict(trailers or ()).get("error-code", ""))
    if ".replayid." in code:
        return InvalidCursor()
    facts = {"status": status.name if status else None, "code": code or None}
    if status == grpc.StatusCode.UNAUTHENTICATED or code.endswith(".auth.error"):
        # The session ended; the next try logs in again.
        return TargetUnavailable("The session of Salesforce's event stream ended; logging in again", **facts)
    if status == grpc.StatusCode.PERMISSION_DENIED:
        return AuthenticationError("Salesforce denies our user the topic; grant the permission", **facts)
    if status in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED):
        return ConfigurationError(
            "Salesforce rejected the subscription; select the topic's object for change data capture", **facts
        )
    return TargetUnavailable("Salesforce's event stream ended; reconnecting", **facts)
