"""The truth about each record of a full org. The sandbox serves it to tests; the adoption must reach the same result without it."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import orjson

from sandbox.salesforce.store import Store

_TABLE = "create table if not exists full_org (position integer primary key, fact text not null)"


@dataclass(frozen=True, slots=True)
class Fact:
    """The truth about one record, or about a client whose record is missing.

    Attributes:
        id: The record's id; None if the org has no record of these identities.
        object: The record's object, or the object that a missing record would have.
        identities: The synthetic firm's keys of what the record represents, such as `household:1001`, `person:1001:0`, `account:300001`
            or `entity:20005`. A couple's record has two people, a membership a household and a person, a record of no client none.
        kinds: Kinds of errors in the record, from `KINDS`; empty for a correct record.
        duplicate_of: The id of the first record of the same client or account; None if this is the first.
        resembles: The key of a client that the record resembles but does not represent; None if there is none.
        newer: The fields with values that a user entered later than the vendors' values, with these values.
    """

    id: str | None
    object: str
    identities: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    duplicate_of: str | None = None
    resembles: str | None = None
    newer: Mapping[str, str] = field(default_factory=dict)


class Truth:
    """The facts of an org, read from its store whenever they are iterated over."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __iter__(self) -> Iterator[Fact]:
        for line in self.read_lines():
            values = orjson.loads(line)
            tuples = {name: tuple(values[name]) for name in ("identities", "kinds")}
            yield Fact(**values | tuples)

    def __bool__(self) -> bool:
        """Return whether the org has been filled."""
        return next(self.read_lines(), None) is not None

    def read_lines(self) -> Iterator[str]:
        """Yield each fact as JSON."""
        with self._store.read() as connection:
            if connection.execute("select 1 from sqlite_master where name = 'full_org'").fetchone():
                for (line,) in connection.execute("select fact from full_org order by position"):
                    yield line


def store_facts(connection: sqlite3.Connection, facts: Iterable[Fact]) -> None:
    """Store facts in the transaction that writes their records."""
    connection.execute(_TABLE)
    lines = ((orjson.dumps(asdict(fact)).decode(),) for fact in facts)
    connection.executemany("insert into full_org (fact) values (?)", lines)
