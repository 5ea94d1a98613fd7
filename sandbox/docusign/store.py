"""DocuSign's state that survives a restart, in one SQLite file: changed envelopes, Connect's configurations and messages.

A changed envelope and the messages about the change are stored in one transaction.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

_TABLES = """
create table if not exists setting (name text primary key, value text not null) without rowid;
create table if not exists envelope (id text primary key, body text not null) without rowid;
create table if not exists config (id integer primary key autoincrement, body text not null);
create table if not exists message (
    id integer primary key autoincrement, config_id int not null, envelope_id text not null, event text not null,
    recipient_id text, generated_at text not null, envelope text not null, state text not null default 'waiting',
    retry_count int not null default 0, attempts int not null default 0, due_at real not null, tried_at real,
    error text not null default '');
create index if not exists message_waiting on message (config_id, id) where state = 'waiting';
create index if not exists message_envelope on message (envelope_id);
"""
CONNECT_KEY = "sandbox-only-connect-key"  # valid for this sandbox only


class Store:
    """The SQLite file of one sandbox. Several threads may use it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(folder / "docusign.sqlite3", check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _TABLES)
        self._lock = threading.RLock()
        self._depth = 0

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction for a `with` block. The outermost block commits at its end, or rolls back if it raises."""
        with self._lock:
            self._depth += 1
            try:
                if self._depth == 1:
                    self._connection.execute("begin immediate")
                yield self._connection
                if self._depth == 1:
                    self._connection.execute("commit")
            except BaseException:
                if self._depth == 1:
                    self._connection.execute("rollback")
                raise
            finally:
                self._depth -= 1

    def read(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def find(self, name: str, default: Any) -> Any:
        """Return the setting with this name, or the default if there is none."""
        rows = self.read("select value from setting where name = ?", name)
        return orjson.loads(rows[0]["value"]) if rows else default

    def set(self, name: str, value: Any) -> None:
        """Store a setting, as JSON."""
        with self.write() as connection:
            connection.execute("insert or replace into setting values (?, ?)", (name, orjson.dumps(value).decode()))

    def find_keys(self) -> list[str]:
        """Return the current HMAC keys of Connect."""
        keys: list[str] = self.find("connect_keys", [CONNECT_KEY])
        return keys

    def close(self) -> None:
        """Close the SQLite file."""
        with self._lock:
            self._connection.close()


def read_connect_keys(folder: Path) -> list[str]:
    """Return the current HMAC keys of the sandbox with the state folder `folder`."""
    store = Store(folder)
    try:
        return store.find_keys()
    finally:
        store.close()
