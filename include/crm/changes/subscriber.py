"""Hears Salesforce: one stream a topic, for ever; what it tells is in the warehouse before more is asked for.

Events come at least once, now and then out of order, and are kept by Salesforce for 72 hours. A topic whose place was lost is read
by query from the newest commit that was heard of, and goes on from the stream's end.
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

from include.connection import Connection
from include.control.calls import CallLog
from include.crm.changes import pubsub as api
from include.crm.changes import store
from include.crm.changes.decoding import EPOCH, Change, EventSchema, Told, Unread, is_ours, read_change, read_event
from include.crm.changes.records import Records
from include.crm.changes.refresh import EVENT, Plan, refresh
from include.crm.salesforce import CLIENT, VENDOR, SalesforceSession
from include.errors import AuthenticationError, ConfigurationError, FatalError, SchemaDrift, TargetUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

MARGIN = timedelta(minutes=15)
"""How much later a change may be committed than its record is stamped."""
SILENCE_S = 330.0
"""After so long without even a sign of life a stream is dead; Salesforce gives one every 270 seconds."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Topic:
    """What is listened to.

    Attributes:
        sobject: Whose changes it tells; empty for platform events.
        is_read_first: Whether all records are read when we first listen, because we know them from nowhere else.
        follows: Field -> fields that follow from it, which change events may leave out.
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

Say = Callable[[str, int], None]


class PlaceLost(Exception):
    """Salesforce does not know the place any more at which we want to go on."""


async def listen(
    engine: sa.Engine, connection: Connection, plan: Plan, say: Say, topics: Sequence[Topic] = TOPICS
) -> None:
    """Hears topics until it is cancelled; trouble is noted with the topic (`control.crm_topic`), and tried again.

    Args:
        engine: As the hearing role, or the loading one.
        connection: The org; `extra["pubsub"]` is the URL of its Pub/Sub API, such as `https://api.pubsub.salesforce.com:7443`.
        plan: What a refresh event asks for.
        say: Told of each topic that brought anything new, and how many changes.
        topics: Which.

    Raises:
        ConfigurationError: The URL is missing, or would send our token in clear.
    """
    channel = _open(connection.extra.get("pubsub", ""))
    async with channel, asyncio.TaskGroup() as hearing:
        for topic in topics:
            hearing.create_task(_Hearing(engine, connection, plan, say, topic, channel).go_on())


def _open(url: str) -> Any:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return grpc.aio.secure_channel(f"{parts.hostname}:{parts.port or 443}", grpc.ssl_channel_credentials())
    if parts.scheme == "http" and parts.hostname in _LOCAL and parts.port:
        return grpc.aio.insecure_channel(f"{parts.hostname}:{parts.port}")
    raise ConfigurationError("pubsub of the connection salesforce is no https URL", pubsub=url)


class _Hearing:
    """One topic."""

    def __init__(
        self, engine: sa.Engine, connection: Connection, plan: Plan, say: Say, topic: Topic, channel: Any
    ) -> None:
        self._engine, self._plan, self._say, self._topic, self._channel = engine, plan, say, topic, channel
        self._calls = CallLog(engine, VENDOR, topic.sobject, "changes")
        self._session = SalesforceSession(connection, self._calls)
        self._records = Records(self._session, topic.sobject)
        self._kinds: dict[str, str] = {}
        self._schemas: dict[str, EventSchema] = {}
        self._names: list[str] = []
        self._metadata: list[tuple[str, str]] = []

    async def go_on(self) -> None:
        """Hears for ever."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async for _ in self._hear():
                    pause = _FIRST_PAUSE_S
            except PlaceLost:
                log.warning("%s: the place is lost; what was missed is read by query", self._topic.name)
                await asyncio.to_thread(store.lose_place, self._engine, self._topic.name)
                continue
            except Exception as error:  # whatever it is, the topic is heard again; people see why it is not
                self._metadata = []
                pause = _LONGEST_PAUSE_S if isinstance(error, FatalError) else pause
                await self._note(error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _note(self, error: Exception) -> None:
        log.warning("%s: %s: %s", self._topic.name, type(error).__name__, error)
        try:
            words = str(error) if isinstance(error, (FatalError, TargetUnavailable)) else type(error).__name__
            await asyncio.to_thread(store.note_trouble, self._engine, self._topic.name, words)
        except Exception as other:  # the database is what is away
            log.warning("%s: %s", self._topic.name, type(other).__name__)

    async def _hear(self) -> Any:
        """Opens the stream and takes what it brings; yields after each answer."""
        await self._log_in()
        place = await asyncio.to_thread(store.read_place, self._engine, self._topic.name)
        is_behind = place.replay_id is None and bool(self._topic.sobject)
        if is_behind:
            await self._catch_up(place.heard_at)
        elif place.replay_id is None:
            await self._learn_names()
            await self._keep([], None, None)
        call = self._method("Subscribe", self._channel.stream_stream)(metadata=self._metadata)
        outstanding = api.MOST_OUTSTANDING
        first = {"replay_preset": api.CUSTOM, "replay_id": place.replay_id} if place.replay_id else {}
        try:
            await call.write(self._ask(outstanding, **first))
            while (answer := await _in_time(call.read())) is not grpc.aio.EOF:
                if is_behind:  # the stream has begun by now: what came between the query and its beginning
                    await self._catch_up(
                        (await asyncio.to_thread(store.read_place, self._engine, self._topic.name)).heard_at
                    )
                    is_behind = False
                await self._take(answer)
                yield answer
                outstanding -= len(answer.events)
                if outstanding <= api.MOST_OUTSTANDING // 2:
                    await call.write(self._ask(api.MOST_OUTSTANDING - outstanding))
                    outstanding = api.MOST_OUTSTANDING
            raise _class_error(await call.code(), await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise _class_error(error.code(), error.trailing_metadata()) from error
        except asyncio.InvalidStateError as error:  # it ended while we asked for more
            raise _class_error(await call.code(), await call.trailing_metadata()) from error
        finally:
            call.cancel()

    def _ask(self, count: int, **begin: Any) -> Any:
        return api.MESSAGES["FetchRequest"](topic_name=self._topic.name, num_requested=count, **begin)

    async def _take(self, answer: Any) -> None:
        """Keeps an answer with the place behind it; one without events tells the place alone."""
        told = [await self._read(each.event) for each in answer.events]
        changes = [change for each in told for change in each.changes]
        heard_at = max((each.committed_at for each in told), default=None)
        ids = sorted({each for one in told for each in one.unread_ids})
        if ids:
            changes += await asyncio.to_thread(self._records.read_ids, self._names, ids)
        if overflows := [each for each in told if each.is_overflow]:
            place = await asyncio.to_thread(store.read_place, self._engine, self._topic.name)
            await self._catch_up(min(filter(None, [place.heard_at, *(each.committed_at for each in overflows)])))
        await self._keep(changes, answer.latest_replay_id, heard_at, [each.unread for each in told if each.unread])

    async def _read(self, event: Any) -> Told:
        """Reads an event; what we wrote ourselves says nothing but its time."""
        if not self._topic.sobject:
            return await self._read_event(event)
        try:
            told = read_change(await self._find_schema(event.schema_id), event.payload, self._topic.follows)
        except SchemaDrift as error:
            log.warning("%s: %s; what it told of is read by query", self._topic.name, error)
            place = await asyncio.to_thread(store.read_place, self._engine, self._topic.name)
            newest = place.heard_at or await asyncio.to_thread(self._records.find_newest)
            return Told(self._topic.sobject, newest or datetime.now(UTC), is_overflow=True)
        return Told(told.object, told.committed_at) if is_ours(told.origin, CLIENT) else told

    async def _read_event(self, event: Any) -> Told:
        """Reads a platform event. No query tells of it again: so one that can't be read is kept as it is, and holds up no other."""
        try:
            change = read_event(await self._find_schema(event.schema_id), event.payload, event.id)
        except SchemaDrift as error:
            log.warning("%s: %s; it is kept in the inbox", self._topic.name, error)
            return Told(self._topic.name, EPOCH, unread=Unread(event.id, event.schema_id, event.payload, str(error)))
        return Told(change.object, change.committed_at, changes=[change])

    async def _catch_up(self, heard_at: datetime | None) -> None:
        """Reads by query what changed since a little before a time; where we never listened, only what the topic wants."""
        await self._learn_names()
        if heard_at is None and not self._topic.is_read_first:
            await self._keep([], None, await asyncio.to_thread(self._records.find_newest))
            return
        pages = self._records.read_since(self._names, heard_at - MARGIN if heard_at else None)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            # The end of the second that is in a record's stamp may lie ahead of what was heard.
            heard = max((each.committed_at for each in page), default=None)
            await self._keep(page, None, heard and heard.replace(microsecond=0))

    async def _keep(
        self,
        changes: list[Change],
        replay_id: bytes | None,
        heard_at: datetime | None,
        unread: Sequence[Unread] = (),
    ) -> None:
        new = await asyncio.to_thread(
            store.keep, self._engine, self._topic.name, changes,
            replay_id=replay_id, heard_at=heard_at, on_event=self._on_event, unread=unread,
        )  # fmt: skip
        if new:
            self._say(self._topic.name, new)
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
                raise _class_error(error.code(), error.trailing_metadata()) from error
            if self._topic.sobject:
                self._kinds = await asyncio.to_thread(self._records.describe)
            schema = self._schemas[schema_id] = EventSchema(answer.schema_json, self._kinds)
            self._names = _list_names(schema, self._topic)
        return self._schemas[schema_id]

    async def _learn_names(self) -> None:
        """Which fields events tell of now: those are what a query is to read."""
        request = api.MESSAGES["TopicRequest"](topic_name=self._topic.name)
        try:
            answer = await self._method("GetTopic", self._channel.unary_unary)(request, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise _class_error(error.code(), error.trailing_metadata()) from error
        self._names = _list_names(await self._find_schema(answer.schema_id), self._topic)

    async def _log_in(self) -> None:
        is_new = not self._metadata
        ticket = await asyncio.to_thread(lambda: self._session.find_ticket(is_new=is_new))
        self._metadata = [
            ("accesstoken", ticket.token),
            ("instanceurl", ticket.instance_url),
            ("tenantid", ticket.org_id),
        ]

    def _method(self, name: str, kind: Any) -> Any:
        taken, given = api.METHODS[name]
        return kind(
            api.path_of(name),
            request_serializer=api.MESSAGES[taken].SerializeToString,
            response_deserializer=api.MESSAGES[given].FromString,
        )


def _list_names(schema: EventSchema, topic: Topic) -> list[str]:
    more = [name for names in topic.follows.values() for name in sorted(names)]
    return list(dict.fromkeys([*schema.list_names(), *more]))


async def _in_time(reading: Any) -> Any:
    try:
        return await asyncio.wait_for(reading, SILENCE_S)
    except TimeoutError as error:
        raise TargetUnavailable("Salesforce's stream is silent", seconds=SILENCE_S) from error


def _class_error(status: Any, trailers: Any) -> Exception:
    """What to do next, by the status and Salesforce's own code beside it."""
    code = str(dict(trailers or ()).get("error-code", ""))
    if ".replayid." in code:
        return PlaceLost()
    said = {"status": status.name if status else None, "code": code or None}
    if status == grpc.StatusCode.UNAUTHENTICATED or code.endswith(".auth.error"):
        # A session that ended: the next try has a new one.
        return TargetUnavailable("Salesforce wants another login for its events", **said)
    if status == grpc.StatusCode.PERMISSION_DENIED:
        return AuthenticationError("Salesforce forbids a topic to our user", **said)
    if status in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED):
        return ConfigurationError("Salesforce refuses a topic: is its object selected for change data capture?", **said)
    return TargetUnavailable("Salesforce's stream ended", **said)
