"""A request to a data resource and its response. They are independent of HTTP, so that a composite request can contain requests."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce.org import Org
from sandbox.salesforce.query import PAGE_ROWS, Queries


@dataclass(frozen=True)
class Answer:
    """The response to a call: HTTP status, JSON body (None for no body) and additional headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One call of a data resource.

    Attributes:
        org: The org.
        user_id: Id of the user of the call's token.
        base: The org's own origin, such as `http://127.0.0.1:8766`.
        version: The API version as the caller wrote it, such as `v66.0`.
        method: HTTP method, in capitals.
        path: The path below `/services/data/vNN.N`, still percent-encoded.
        url_path: The full path of the HTTP request, on which faults are set.
        params: The query parameters.
        body: The JSON body; None without a body.
        page_rows: Maximum number of rows in a page of query results.
        connection: The transaction of the composite call that contains this call; None for a call by itself.
    """

    org: Org
    user_id: str
    base: str
    version: str
    method: str
    path: str
    url_path: str
    params: dict[str, str] = field(default_factory=dict)
    body: Any = None
    page_rows: int = PAGE_ROWS
    connection: sqlite3.Connection | None = None

    @property
    def queries(self) -> Queries:
        """Return an object that runs queries on the connections of this call."""
        return Queries(self.org.schema, self.org.store, self.org.clock.now, self)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for reading: the transaction of the composite call, or else a new connection."""
        if self.connection is not None:
            yield self.connection
        else:
            with self.org.store.read() as connection:
                yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for writing. If the block raises, only its own writes are rolled back."""
        if self.connection is not None:
            with _savepoint(self.connection):
                yield self.connection
        else:
            with self.org.store.write() as connection:
                yield connection


@contextmanager
def _savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("savepoint part")
    try:
        yield
    except BaseException:
        connection.execute("rollback to part")
        raise
    finally:
        connection.execute("release part")
