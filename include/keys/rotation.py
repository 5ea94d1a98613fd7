"""Rotate the hash key: lift every stored hash to a keyring with more hash keys, in one transaction.

No clear value is needed, because the new key is applied to the old hash (see `include.sensitive`). Hashes are computed in this process, so
no key reaches the database server or its logs. Rows are changed in place: no version of a description or a fact is closed or added.

A rotation does not change these:

- Files of the staging folder and stored responses: their hashes are lifted when they are read.
- External keys in Salesforce: see `control.first_hash`.
- The audit trail, because its chain forbids a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from include.canonical import ENTITIES
from include.database.driver import find_driver
from include.errors import ConfigurationError
from include.keys import register
from include.keys.keyring import Keyring
from include.sensitive import Redactor, has_hash

_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """A column with hashes.

    Attributes:
        table: The table, with its schema.
        column: The column.
        type: Type of the column.
        where: SQL condition that selects the rows.
    """

    table: str
    column: str
    type: str = "text"
    where: str = "true"

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


def list_places() -> list[Place]:
    """Return every column that may contain hashes: vendors' keys, which may be made of hashed columns, and hashes of sensitive fields."""
    names = {
        entity.name: [entity.key, *(f for f in entity.fields if f.endswith(("_key", "_hash")))] for entity in ENTITIES
    }
    return [
        *(Place(f"warehouse.{entity}", column) for entity, columns in names.items() for column in columns),
        Place("warehouse.source_key", "source_key"),
        Place("warehouse.sealed_value", "value_hash"),
        Place("control.absence", "source_key"),
        Place("control.past_absence", "source_key"),
        Place("control.org_record", "number_hash"),
        Place("control.known_difference", "account_key"),
        Place("control.roll_forward_break", "position_key"),
        Place("control.dead_letter", "row_key", where="stage <> 'crm'"),
        Place("control.dead_letter", "describes", "jsonb", "stage <> 'crm'"),
    ]


def count(engine: sa.Engine) -> dict[str, int]:
    """Return the number of rows with hashes, by column (`<schema>.<table>.<column>`)."""
    with engine.connect() as connection:
        return {str(place): _count(connection, place) for place in list_places()}


def rotate(engine: sa.Engine, keyring: Keyring) -> dict[str, int]:
    """Lift all hashes to a keyring's hash keys, and register the new keys. Writers wait until it ends; a failure changes nothing.

    Args:
        engine: The database, as the migrating role.
        keyring: The new keyring: the registered hash keys, in their order, and new ones after them.

    Returns:
        Number of changed rows by column (`<schema>.<table>.<column>`); empty if the keyring has no new hash key.

    Raises:
        ConfigurationError: The keyring does not begin with the registered hash keys.
        TargetUnavailable: A writer did not end within a minute.
    """
    with engine.begin() as connection:
        register.exclude_writers(connection)
        registered = register.read(connection)
        known = [key_id for purpose, key_id in registered if purpose == "hash"]
        hash_keys = [key for key in keyring.keys if key.purpose == "hash"]
        if not known or known != [key.key_id for key in hash_keys[: len(known)]]:
            raise ConfigurationError(
                "The keyring must have the hash keys of the database, in their order, and the new one after them",
                registered=",".join(known),
            )
        if not (new := hash_keys[len(known) :]):
            return {}
        for key in new:
            register.insert(connection, key)
        register.compare(keyring, register.read(connection))
        _keep_first_hashes(connection, keyring.redactor)
        return {str(place): _lift(connection, place, keyring.redactor) for place in list_places()}


def _count(connection: sa.Connection, place: Place) -> int:
    column = f"{place.column}::text"
    query = f"select {column} as text, count(*) from {place.table} where {place.where} and length({column}) >= 64 group by 1"  # noqa: S608
    with connection.execution_options(yield_per=_BATCH).execute(sa.text(query)) as texts:
        return sum(rows for text, rows in texts if has_hash(text))


def _lift(connection: sa.Connection, place: Place, redactor: Redactor) -> int:
    """Lift the hashes of a column; return the number of changed rows. Each distinct text is lifted once."""
    column = f"{place.column}::text"
    query = f"select distinct {column} from {place.table} where {place.where} and length({column}) >= 64"  # noqa: S608
    update = f'update {place.table} set {place.column} = new::{place.type} from lifted where {column} = old collate "C"'  # noqa: S608
    with _create_lifted(connection, query, redactor):
        return connection.execute(sa.text(f"{update} and {place.where}")).rowcount


def _keep_first_hashes(connection: sa.Connection, redactor: Redactor) -> None:
    """Record the first hash of each lifted hash, because external keys in Salesforce keep it. Do nothing if no record was ever sent."""
    if not connection.scalar(
        sa.text("select exists (select from control.crm_state) or exists (select from control.crm_job)")
    ):
        return
    query = (
        "select distinct part from warehouse.source_key, string_to_table(source_key, ':') part where length(part) >= 64"
    )
    with _create_lifted(connection, query, redactor):
        connection.execute(
            sa.text("update control.first_hash set current_hash = new from lifted where current_hash = old")
        )
        connection.execute(
            sa.text("""
            insert into control.first_hash (first_hash, current_hash)
            select old, new from lifted where not exists (select from control.first_hash where current_hash = new)
            """)
        )


@contextmanager
def _create_lifted(connection: sa.Connection, query: str, redactor: Redactor) -> Iterator[None]:
    """Provide the temporary table `lifted`: the texts of a query that change (`old`), each with its lifted text (`new`)."""
    driver = find_driver(connection)
    with driver.cursor() as cursor, driver.cursor(name="texts") as texts:
        cursor.execute('create temporary table lifted (old text collate "C" primary key, new text collate "C")')
        texts.execute(query)
        while batch := texts.fetchmany(_BATCH):
            pairs = ((old, redactor.lift(old)) for (old,) in batch)
            with cursor.copy("copy lifted from stdin") as copy:
                for pair in pairs:
                    if pair[0] != pair[1]:
                        copy.write_row(pair)
        cursor.execute("analyze lifted")
        yield
        cursor.execute("drop table lifted")
