"""One request to a data resource, and its response, independent of HTTP, so that a composite request can contain requests."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce.org import Org
from sandbox.salesforce.query import PAGE_ROWS, Queries


@dataclass(frozen=True)
class Answer:
    """Status, JSON body (None for no body) and additional headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One call of a data resource.

    Attributes:
        path: Below `/services/data/vNN.N`, still percent-encoded.
        base: The org's own origin.
        version: `v66.0`, as the caller wrote it.
        url_path: The full path, which faults match.
        connection: The transaction of the composite call that contains this call.
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
        """Return the object that runs queries in this request's transaction."""
        return Queries(self.org.schema, self.org.store, self.org.clock.now, self)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for reading."""
        if self.connection is not None:
            yield self.connection
        else:
            with self.org.store.read() as connection:
                yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for writing; it is rolled back if the block raises."""
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
