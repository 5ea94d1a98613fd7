"""One org: its metadata, its records and its users. All requests and jobs share it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.salesforce.columns import Columns, Row
from sandbox.salesforce.errors import unknown_object
from sandbox.salesforce.persons import TYPES, load_person_schema
from sandbox.salesforce.pubsub_bus import Bus
from sandbox.salesforce.query import Queries
from sandbox.salesforce.rules import Rule
from sandbox.salesforce.schema import SHAPES, Field, SObject, list_trees, load_schema
from sandbox.salesforce.sessions import Sessions
from sandbox.salesforce.store import Store, find_ids, load_records, save_records
from sandbox.salesforce.values import format_time
from sandbox.salesforce.writes import Writer
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults

_PERSON_ACCOUNTS = "PersonAccounts"
ADMINISTRATOR = "administrator@sample-wealth.example"
ORG_ID = "00DHp0000000001AAA"


class Org:
    """An org. Its state is stored in `folder` and survives a restart.

    Args:
        folder: The folder.
        faults: The active faults.
        clock: The sandbox's time.
        shape: One of `schema.SHAPES`; None for that of the folder's org, or else the first. An org never changes its shape.

    Raises:
        ValueError: The shape is unknown, or the folder holds an org of another shape.
    """

    def __init__(self, folder: Path, faults: Faults, clock: Clock, shape: str | None = None) -> None:
        self.folder, self.faults, self.clock = folder, faults, clock
        self.shape = _keep_shape(folder, shape)
        self.schema = load_schema(list_trees(self.shape))
        self.rules: list[Rule] = []
        self.store = Store(folder, self.schema)
        self.bus = Bus(self.store, lambda: self.schema, faults, clock)
        self.sessions = Sessions(self.store, clock.now)
        self.queries = Queries(self.schema, self.store, self.clock.now)
        self._seed()
        with self.store.read() as connection:
            is_on = connection.execute("select 1 from counter where name = ?", (_PERSON_ACCOUNTS,)).fetchone()
        if is_on:
            self.enable_person_accounts()

    @property
    def has_person_accounts(self) -> bool:
        """Return whether an account can be a person."""
        return "PersonContactId" in self.schema["Account"].fields

    def enable_person_accounts(self) -> None:
        """Enable person accounts. As in Salesforce, this can't be undone."""
        self.schema = load_person_schema(self.shape)
        self.queries = Queries(self.schema, self.store, self.clock.now)
        self._seed()
        with self.store.write() as connection:
            connection.execute("insert or replace into counter values (?, 1)", (_PERSON_ACCOUNTS,))
            ids = [self.record_type_ids(self.schema["Account"])[name] for name in TYPES]
            types = load_records(connection, ids)
            save_records(connection, [body | {"IsPersonType": True} for body in types.values()])

    def find_object(self, name: str) -> SObject:
        """Return the object with this name, from a URL or a job; case is ignored.

        Raises:
            ApiError: 404 NOT_FOUND, the org has no such object.
        """
        sobject = next((item for candidate, item in self.schema.items() if candidate.lower() == name.lower()), None)
        if sobject is None:
            raise unknown_object(name)
        return sobject

    def change_field(self, object_name: str, field_name: str, changes: Mapping[str, Any]) -> None:
        """Change the attributes of a field, as an administrator does in Setup; create a field of the type `Text` that does not exist.

        Raises:
            TypeError: Unknown attribute.
        """
        sobject = self.find_object(object_name)
        field = sobject.fields.get(field_name) or Field(field_name, "Text", field_name, length=255)
        self._change_object(sobject, fields=sobject.fields | {field_name: replace(field, **changes)})

    def delete_field(self, object_name: str, field_name: str) -> None:
        """Delete a field."""
        sobject = self.find_object(object_name)
        self._change_object(sobject, fields={name: item for name, item in sobject.fields.items() if name != field_name})

    def change_object(self, object_name: str, changes: Mapping[str, Any]) -> None:
        """Change what the integration user may do with an object, or its record types.

        Raises:
            TypeError: Unknown attribute.
        """
        self._change_object(self.find_object(object_name), **changes)

    def _change_object(self, sobject: SObject, **changes: Any) -> None:
        self.schema[sobject.name] = replace(sobject, **changes)

    def find_user(self, username: str) -> str:
        """Return the id of the user with this name; create the user if there is none."""
        with self.store.read() as connection:
            ids = find_ids(connection, "User", "Username", [username.casefold()])
        return next(iter(ids.values()))[0] if ids else self._add_user(username)

    def writer(self, user_id: str) -> Writer:
        """Return a writer that writes rows as this user."""
        return Writer(self.schema, self.store, self.clock.now, user_id)

    def columns(self, sobject: SObject) -> Columns:
        """Return the columns of an object, by the names that a caller may use."""
        return Columns(self.schema, sobject)

    def stamp(self) -> str:
        """Return the sandbox's current time, in the format that records use."""
        return format_time(self.clock.now())

    def record_type_ids(self, sobject: SObject) -> dict[str, str]:
        """Return the ids of an object's record types, by developer name."""
        with self.store.read() as connection:
            ids = [row[0] for row in connection.execute("select id from record where id glob '012*'")]
            types = load_records(connection, ids).values()
        return {body["DeveloperName"]: body["Id"] for body in types if body["SobjectType"] == sobject.name}

    def _add_user(self, username: str) -> str:
        name = username.partition("@")[0]
        row = {"Username": username, "Email": username, "LastName": name}
        return self._insert("User", [row], user_id="")[0]

    def _insert(self, name: str, rows: list[Row], user_id: str) -> list[str]:
        with self.store.write() as connection:
            outcomes = self.writer(user_id).write(connection, self.schema[name], "insert", rows)
        errors = [outcome.error for outcome in outcomes if outcome.error]
        if errors:
            raise errors[0]
        return [outcome.id or "" for outcome in outcomes]

    def _seed(self) -> None:
        """Create the administrator and the record types that do not exist yet."""
        user_id = self.find_user(ADMINISTRATOR)
        for sobject in self.schema.values():
            record_types = self.record_type_ids(sobject)
            rows: list[Row] = [
                {"Name": label, "DeveloperName": name, "SobjectType": sobject.name}
                for name, label in sobject.record_types
                if name not in record_types
            ]
            if rows:
                self._insert("RecordType", rows, user_id)


def _keep_shape(folder: Path, shape: str | None) -> str:
    """Return the shape of the org in a folder; store it if the org is new."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "shape"
    existing = path.read_text() if path.exists() else shape or SHAPES[0]
    if existing not in SHAPES or shape not in (None, existing):
        raise ValueError(f"{folder} holds an org of the shape {existing}, not {shape}; shapes are {', '.join(SHAPES)}")
    path.write_text(existing)
    return existing
