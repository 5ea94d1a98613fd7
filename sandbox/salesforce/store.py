"""The org's state in one SQLite file: the records as JSON, the index of their keys, and all other state that survives a restart.

SQLite's write-ahead log allows one writer at a time (`write`) and any number of readers (`read`).
"""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from sandbox.salesforce.aggregates import AGGREGATES
from sandbox.salesforce.schema import KEY_PREFIXES, Schema, SObject
from sandbox.salesforce.values import make_id

Body = dict[str, Any]
ID_END = "~"
"""A character that sorts after every character of an id, for range queries by key prefix."""

_TABLES = """
create table if not exists record (id text primary key, body text not null, is_deleted int not null) without rowid;
create index if not exists deleted_record on record (id) where is_deleted;
create table if not exists record_key (object text, field text, value text, id text,
    primary key (object, field, value, id)) without rowid;
create table if not exists prefix (object text primary key, prefix text unique);
create table if not exists counter (name text primary key, value int not null) without rowid;
create table if not exists job (id text primary key, body text not null) without rowid;
create table if not exists session (token text primary key, username text, client_id text, issued_at text);
create table if not exists consumer (client_id text primary key, client_secret text, public_key text, username text);
create table if not exists cursor_row (cursor text, position int, id text,
    primary key (cursor, position)) without rowid;
create table if not exists cursor (id text primary key, soql text, total int);
"""


class Store:
    """The SQLite file of one org, in `folder`."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "org.sqlite3"
        self._lock = threading.Lock()
        self._writer = self._connect()
        self._writer.executescript(_TABLES)
        self._before_commit: Callable[[sqlite3.Connection], None] | None = None
        self._after_commit: Callable[[], None] | None = None
        self.prefixes = self._assign_prefixes(schema)

    def watch(
        self, tables: str, before_commit: Callable[[sqlite3.Connection], None], after_commit: Callable[[], None]
    ) -> None:
        """Register callbacks that run before and after every commit.

        Args:
            tables: SQL that creates the tables and triggers of the callbacks.
            before_commit: Called inside the transaction.
            after_commit: Called after the transaction.
        """
        with self._lock:
            self._writer.executescript(tables)
        self._before_commit, self._after_commit = before_commit, after_commit

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction, after any other writer has ended. Commit at the end, or roll back if the block raises."""
        with self._lock:
            self._writer.execute("begin immediate")
            try:
                yield self._writer
                if self._before_commit is not None:
                    self._before_commit(self._writer)
                self._writer.execute("commit")
            except BaseException:
                self._writer.execute("rollback")
                raise
        if self._after_commit is not None:
            self._after_commit()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees the last committed state. Several threads may use it one after the other, for a streamed response."""
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    def close(self) -> None:
        """Close the file, after a write in progress has ended."""
        with self._lock:
            self._writer.close()

    def object_of(self, record_id: str) -> str | None:
        """Return the name of the object of a record id, by the id's key prefix; None for an unknown prefix."""
        return self._objects.get(record_id[:3])

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=60, check_same_thread=False)
        for name, function in AGGREGATES.items():
            connection.create_aggregate(name, 1, function)
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")
        return connection

    def _assign_prefixes(self, schema: Schema) -> dict[str, str]:
        with self.write() as connection:
            prefixes = dict(connection.execute("select object, prefix from prefix"))
            for name in sorted(schema.keys() - prefixes.keys()):
                assigned = sum(prefix.startswith("a") for prefix in prefixes.values())
                prefixes[name] = KEY_PREFIXES.get(name) or (
                    f"e{assigned:02}" if name.endswith("__e") else f"a{assigned:02}"
                )
                connection.execute("insert into prefix values (?, ?)", (name, prefixes[name]))
        self._objects = {prefix: name for name, prefix in prefixes.items()}
        return prefixes


def new_ids(connection: sqlite3.Connection, prefix: str, count: int) -> list[str]:
    """Return ids for `count` new records, in ascending order."""
    last = take_numbers(connection, prefix, count)
    return [make_id(prefix, number) for number in range(last - count + 1, last + 1)]


def take_numbers(connection: sqlite3.Connection, name: str, count: int) -> int:
    """Increase the counter `name` by `count`; return its new value, the last of the taken numbers."""
    row = connection.execute(
        "insert into counter values (?1, ?2) on conflict (name) do update set value = value + ?2 returning value",
        (name, count),
    ).fetchone()
    return int(row[0])


def load_records(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, Body]:
    """Return the records with these ids, by id. Unknown ids and deleted records are left out."""
    rows = connection.execute(
        "select id, body from record where id in (select value from json_each(?)) and not is_deleted",
        (_array(ids),),
    )
    return {record_id: orjson.loads(body) for record_id, body in rows}


def find_ids(connection: sqlite3.Connection, sobject: str, field: str, folded: Iterable[str]) -> dict[str, list[str]]:
    """Return the ids of the records that have one of the folded key values, by that value.

    Unknown values and deleted records are left out.
    """
    by_value = defaultdict(list)
    rows = connection.execute(
        "select value, id from record_key where object = ? and field = ? and value in (select value from json_each(?))",
        (sobject, field, _array(folded)),
    )
    for value, record_id in rows:
        by_value[value].append(record_id)
    return by_value


def find_records(
    connection: sqlite3.Connection, sobject: str, field: str, folded: Iterable[str]
) -> dict[str, list[Body]]:
    """Return the records that have one of the folded key values, by that value.

    Unknown values and deleted records are left out.
    """
    by_value = defaultdict(list)
    rows = connection.execute(
        "select k.value, r.body from record_key k cross join record r on r.id = k.id"
        " where k.object = ? and k.field = ? and k.value in (select value from json_each(?))",
        (sobject, field, _array(folded)),
    )
    for value, body in rows:
        by_value[value].append(orjson.loads(body))
    return by_value


def find_children(connection: sqlite3.Connection, prefix: str, field: str, parents: Iterable[str]) -> list[Body]:
    """Return the records with this key prefix whose reference `field` points to one of `parents`, without deleted records.

    `field` becomes part of the SQL, so it must be a name from the schema.
    """
    parent_ids = list(parents)
    if not parent_ids:
        return []
    rows = connection.execute(
        "select body from record where id >= ? and id < ? and not is_deleted"  # noqa: S608 - a name of the schema
        f" and json_extract(body, '$.{field}') in (select value from json_each(?))",
        (prefix, prefix + ID_END, _array(parent_ids)),
    )
    return [orjson.loads(body) for (body,) in rows]


def save_records(connection: sqlite3.Connection, bodies: Iterable[Body]) -> None:
    """Insert or replace whole records."""
    connection.executemany(
        "insert into record values (?, ?, 0) on conflict (id) do update set body = excluded.body",
        ((body["Id"], orjson.dumps(body).decode()) for body in bodies),
    )


def index_keys(connection: sqlite3.Connection, sobject: SObject, changes: Iterable[tuple[Body, Body]]) -> None:
    """Update the index of keys. `changes` has the old and new content of each record; the old content of a new record is empty."""
    removed, added = [], []
    for before, after in changes:
        old, new = sobject.keys_of(before), sobject.keys_of(after)
        if old != new:
            removed += [(sobject.name, name, value, after["Id"]) for name, value in old.items() - new.items()]
            added += [(sobject.name, name, value, after["Id"]) for name, value in new.items() - old.items()]
    connection.executemany("delete from record_key where object = ? and field = ? and value = ? and id = ?", removed)
    connection.executemany("insert into record_key values (?, ?, ?, ?)", added)


def mark_deleted(connection: sqlite3.Connection, bodies: Iterable[Body]) -> None:
    """Mark records as deleted, so that only `queryAll` returns them, and remove their keys from the index."""
    bodies = list(bodies)
    if not bodies:  # an empty list would still scan the index of keys
        return
    ids = _array(body["Id"] for body in bodies)
    save_records(connection, bodies)
    connection.execute("update record set is_deleted = 1 where id in (select value from json_each(?))", (ids,))
    drop_keys(connection, [body["Id"] for body in bodies])


def drop_keys(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Remove records from the index of keys."""
    connection.execute("delete from record_key where id in (select value from json_each(?))", (_array(ids),))


def _array(values: Iterable[str]) -> str:
    return orjson.dumps(list(values)).decode()
