"""The org's event bus: it publishes committed changes as events and retains them for 72 hours.

SQLite triggers record the changes of a transaction to records of the selected objects. Just before the commit, these changes become
events in the same transaction. So every committed change is published, and no change that was rolled back.
"""

import itertools
import sqlite3
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from sandbox.salesforce.pubsub_schema import EventSchema, topic_of
from sandbox.salesforce.schema import Schema
from sandbox.salesforce.store import Body, Store, take_numbers
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults

RETENTION = timedelta(hours=72)
_MOST_CHANGES = 100_000
"""Maximum number of changes in one transaction that get events of their own; each changed field of a record counts.

The later changes of each object become one overflow event.
"""
_STAMPS = {"LastModifiedDate", "LastModifiedById"}

client: ContextVar[str] = ContextVar("client", default="")
"""The name of the calling client, from its header `Sforce-Call-Options`, while its request is processed; empty without one."""

_TABLES = """
create table if not exists event (number integer primary key autoincrement, topic text, schema_id text, uuid text,
    payload blob, at int);
create index if not exists event_by_topic on event (topic, number);
create table if not exists event_schema (id text primary key, json text);
create table if not exists selected_object (prefix text primary key) without rowid;
create temp table pending_change (id text, before text, after text, was_deleted int, is_deleted int);
create temp trigger record_insert after insert on main.record when substr(new.id, 1, 3) in (select prefix from selected_object)
    begin insert into pending_change values (new.id, null, new.body, 0, new.is_deleted); end;
create temp trigger record_update after update on main.record when substr(new.id, 1, 3) in (select prefix from selected_object)
    begin insert into pending_change values (new.id, old.body, new.body, old.is_deleted, new.is_deleted); end;
"""


@dataclass
class Change:
    """A change in one transaction, of one record or of several records in the same way.

    Attributes:
        object: The name of the object.
        kind: The change type in Salesforce's words, such as `CREATE`, `UPDATE` or `GAP_OVERFLOW`.
        ids: The ids of the changed records; empty for an overflow.
        values: The new values in stored form: all of a created record, or the changed ones.
        changed: The names of the changed fields of an update.
        user: The id of the user who made the change.
    """

    object: str
    kind: str
    ids: list[str]
    values: Body
    changed: set[str]
    user: str


class Bus:
    """The event bus of an org.

    Faults are set on the name of a topic:

    - `change_gap`: a change of this topic becomes a gap event.
    - `change_overflow`: all changes of a transaction become overflow events, if the first of them is of this topic.

    Args:
        store: The store of the records, which also stores the events.
        read_schema: Returns the org's current objects.
        faults: The active faults.
        clock: The sandbox's time.
    """

    def __init__(self, store: Store, read_schema: Callable[[], Schema], faults: Faults, clock: Clock) -> None:
        self._store, self._read_schema, self._faults, self._clock = store, read_schema, faults, clock
        self._schemas: dict[str, EventSchema] = {}
        self._known: Schema | None = None
        self._news = threading.Condition()
        store.watch(_TABLES, self._publish, self._notify)
        with store.write() as connection:
            for name in (name for name in read_schema() if name.endswith("__e")):
                connection.execute("insert or ignore into selected_object values (?)", (store.prefixes[name],))

    def select(self, names: list[str]) -> None:
        """Turn change data capture on for these objects, and off for all others."""
        with self._store.write() as connection:
            events = [prefix for name, prefix in self._store.prefixes.items() if name.endswith("__e")]
            connection.execute("delete from selected_object")
            prefixes = [*events, *(self._store.prefixes[name] for name in names)]
            connection.executemany("insert into selected_object values (?)", [(prefix,) for prefix in prefixes])

    def list_selected(self) -> list[str]:
        """Return the objects selected for change data capture."""
        with self._store.read() as connection:
            prefixes = {prefix for (prefix,) in connection.execute("select prefix from selected_object")}
        return sorted(n for n, prefix in self._store.prefixes.items() if prefix in prefixes and not n.endswith("__e"))

    def find_schema(self, topic: str) -> EventSchema | None:
        """Return the current schema of a topic; None if the topic is unknown or its object is not selected."""
        selected = self.list_selected()
        schemas = (self.schema_of(name) for name in self._read_schema() if name.endswith("__e") or name in selected)
        return next((schema for schema in schemas if schema.topic == topic), None)

    def schema_of(self, name: str) -> EventSchema:
        """Return the current schema of the events of an object."""
        schema = self._read_schema()
        if schema is not self._known:
            self._known, self._schemas = schema, {}
        if name not in self._schemas:
            self._schemas[name] = EventSchema(schema[name])
        return self._schemas[name]

    def read_schema(self, schema_id: str) -> str | None:
        """Return a current or earlier schema as JSON, by its id; None if the id is unknown."""
        with self._store.read() as connection:
            row = connection.execute("select json from event_schema where id = ?", (schema_id,)).fetchone()
        present = {schema.id: schema.json for schema in (self.schema_of(name) for name in self._read_schema())}
        return row[0] if row else present.get(schema_id)

    def read(self, topic: str, after: int, most: int) -> list[tuple[int, str, str, bytes, int]]:
        """Return up to `most` retained events of a topic with a number above `after`, the oldest first.

        Each event is its number, schema id, id, payload, and time of publication in milliseconds.
        """
        oldest = self.now() - int(RETENTION.total_seconds() * 1000)
        with self._store.read() as connection:
            return connection.execute(
                "select number, schema_id, uuid, payload, at from event where topic = ? and number > ? and at >= ?"
                " order by number limit ?",
                (topic, after, oldest, most),
            ).fetchall()

    def last(self) -> int:
        """Return the number of the newest event of all topics; 0 if there is none."""
        with self._store.read() as connection:
            return int(connection.execute("select coalesce(max(number), 0) from event").fetchone()[0])

    def now(self) -> int:
        """Return the sandbox's time in milliseconds since 1970."""
        return int(self._clock.now().timestamp() * 1000)

    def wait(self, seconds: float) -> None:
        """Wait until a transaction commits, or until `seconds` have passed."""
        with self._news:
            self._news.wait(seconds)

    def _notify(self) -> None:
        with self._news:
            self._news.notify_all()

    def _publish(self, connection: sqlite3.Connection) -> None:
        updates = connection.execute("select * from pending_change").fetchall()
        if not updates:
            return
        connection.execute("delete from pending_change")
        by_id: dict[str, list[tuple[Any, ...]]] = {}
        for row in updates:
            by_id.setdefault(row[0], []).append(row)
        events = [rows for rows in by_id.values() if (self._store.object_of(rows[0][0]) or "").endswith("__e")]
        for rows in events:
            self._add_platform_event(connection, orjson.loads(rows[-1][2]))
        changes = [change for rows in by_id.values() if rows not in events and (change := self._compare(rows))]
        self._add_changes(connection, self._merge(changes))

    def _compare(self, rows: list[tuple[Any, ...]]) -> Change | None:
        before: Body = orjson.loads(rows[0][1]) if rows[0][1] else {}
        after: Body = orjson.loads(rows[-1][2])
        name = str(self._store.object_of(after["Id"]))
        user = str(after.get("LastModifiedById", ""))
        if rows[-1][4] and not rows[0][3]:
            return Change(name, "DELETE", [after["Id"]], {}, set(), user) if before else None
        if not before:
            return Change(name, "CREATE", [after["Id"]], after, set(), user)
        changed = {field for field in self.schema_of(name).names if before.get(field) != after.get(field)}
        if changed <= _STAMPS:
            return None
        return Change(name, "UPDATE", [after["Id"]], {f: after[f] for f in changed if f in after}, changed, user)

    def _merge(self, changes: list[Change]) -> list[Change]:
        """Combine successive updates of an object with the same new values into one change."""
        merged: list[Change] = []
        for change in changes:
            last = merged[-1] if merged else None
            same = (
                last is not None and change.kind == "UPDATE" and (last.object, last.kind) == (change.object, "UPDATE")
            )
            if same and last is not None and (last.values, last.changed) == (change.values, change.changed):
                last.ids += change.ids
            else:
                merged.append(change)
        return merged

    def _add_changes(self, connection: sqlite3.Connection, changes: list[Change]) -> None:
        key, numbers = str(uuid.uuid4()), itertools.count(1)
        weights = itertools.accumulate((len(change.changed) or 1) * len(change.ids) for change in changes)
        most = 0 if changes and self._faults.take(topic_of(changes[0].object), "change_overflow") else _MOST_CHANGES
        overflowed: dict[str, Change] = {}
        for change, weight in zip(changes, weights, strict=True):
            if weight > most:
                overflowed.setdefault(change.object, Change(change.object, "GAP_OVERFLOW", [], {}, set(), change.user))
                continue
            if self._faults.take(topic_of(change.object), "change_gap"):
                change = Change(change.object, f"GAP_{change.kind}", change.ids, {}, set(), change.user)
            self._add_change(connection, change, key, next(numbers))
        for change in overflowed.values():
            self._add_change(connection, change, key, next(numbers))

    def _add_change(self, connection: sqlite3.Connection, change: Change, key: str, number: int) -> None:
        schema, at = self.schema_of(change.object), self.now()
        name = client.get()
        header = {
            "entityName": change.object,
            "recordIds": change.ids,
            "changeType": change.kind,
            "changeOrigin": f"com/salesforce/api/rest/66.0;client={name}" if name else "com/salesforce/api/rest/66.0",
            "transactionKey": key,
            "sequenceNumber": number,
            "commitTimestamp": at,
            "commitNumber": take_numbers(connection, "commitNumber", 1),
            "commitUser": change.user,
        }
        self._add(connection, schema, schema.encode(change.values, header, change.changed), at)

    def _add_platform_event(self, connection: sqlite3.Connection, body: Body) -> None:
        schema = self.schema_of(str(self._store.object_of(body["Id"])))
        self._add(connection, schema, schema.encode(body), self.now())
        connection.execute("delete from record where id = ?", (body["Id"],))

    def _add(self, connection: sqlite3.Connection, schema: EventSchema, payload: bytes, at: int) -> None:
        connection.execute("insert or ignore into event_schema values (?, ?)", (schema.id, schema.json))
        connection.execute(
            "insert into event (topic, schema_id, uuid, payload, at) values (?, ?, ?, ?, ?)",
            (schema.topic, schema.id, str(uuid.uuid4()), payload, at),
        )


@contextmanager
def calling_as(name: str) -> Iterator[None]:
    """Run the block with `name` as the name of the calling client, which its change events contain."""
    token = client.set(name)
    try:
        yield
    finally:
        client.reset(token)


def pack_replay_id(number: int, at: int) -> bytes:
    """Return the replay id from which a subscription resumes after event `number`; `at` is its time in milliseconds."""
    return struct.pack(">QQ", number, at)


def unpack_replay_id(packed: bytes) -> tuple[int, int]:
    """Return the event number and the time in milliseconds of a replay id.

    Raises:
        ValueError: The replay id does not come from `pack_replay_id`.
    """
    if len(packed) != 16:
        raise ValueError("invalid replay id")
    number, at = struct.unpack(">QQ", packed)
    return number, at
