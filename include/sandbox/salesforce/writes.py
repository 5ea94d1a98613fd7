"""Inserts, updates and upserts of a batch of rows, each row judged by the org's metadata; one row's error is its own.

A batch goes through its steps together, so that every look-up is one query for the whole batch. Only one thing is
judged over the batch as a whole, as Salesforce does: a key that two of its rows carry fails all of these rows.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from include.sandbox.salesforce.columns import Columns, Row
from include.sandbox.salesforce.errors import ApiError, RowError
from include.sandbox.salesforce.schema import Field, Schema, SObject
from include.sandbox.salesforce.store import (
    Body,
    Store,
    find_ids,
    load_records,
    new_ids,
    save_records,
    take_numbers,
)
from include.sandbox.salesforce.values import Kept, complete_id, format_time

BATCH_ROWS = 10_000
"""Rows of one internal batch of a bulk job; duplicate keys are looked for inside it."""


@dataclass(slots=True)
class Outcome:
    """What became of one row."""

    id: str | None = None
    is_created: bool = False
    error: RowError | None = None


@dataclass(slots=True)
class Draft:
    """One row on its way."""

    values: dict[str, Kept] = field(default_factory=dict)
    parents: list[tuple[Field, Field, str]] = field(default_factory=list)
    id: str | None = None
    is_new: bool = False
    body: Body = field(default_factory=dict)
    before: Body = field(default_factory=dict)
    error: RowError | None = None


class Writer:
    """Writes rows into the org as the user `user_id`."""

    def __init__(self, schema: Schema, store: Store, now: Callable[[], datetime], user_id: str) -> None:
        self._schema, self._store, self._now, self._user_id = schema, store, now, user_id
        with store.read() as connection:
            ids = [id for (id,) in connection.execute("select id from record where id glob '012*'")]
            types = load_records(connection, ids)
        self._record_types = {(b["SobjectType"], b["DeveloperName"].casefold()): id for id, b in types.items()}
        self._developer_names = {id: body["DeveloperName"] for id, body in types.items()}

    def write(
        self,
        connection: sqlite3.Connection,
        sobject: SObject,
        operation: str,
        rows: Sequence[Row],
        key: Field | None = None,
        is_all_or_none: bool = False,
        columns: Columns | None = None,
        is_locked: Callable[[Row], bool] | None = None,
    ) -> list[Outcome]:
        """Write `rows` (at most a batch) inside the caller's transaction; outcomes stand in the rows' order.

        Args:
            operation: `insert`, `update` (rows carry `Id`) or `upsert` (rows carry `key`).
            is_all_or_none: One row's error keeps all rows out.
            columns: Columns found by an earlier batch of the same job.
            is_locked: Says of each row whether somebody else holds a lock that it needs.

        Raises:
            ApiError: a column does not exist; nothing is written.
        """
        columns = columns if columns is not None else Columns(self._schema, sobject)
        drafts = [self._draft(columns, row) for row in rows]
        for draft, row in zip(drafts, rows, strict=True):
            if is_locked is not None and is_locked(row):
                draft.error = RowError("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        if operation == "insert":
            for draft in _good(drafts):
                draft.is_new = True
        elif operation == "update" or key is None or key.name == "Id":
            self._match_by_id(connection, sobject, drafts, is_upsert=operation == "upsert")
        else:
            self._match_by_key(connection, sobject, drafts, key)
        self._resolve_parents(connection, sobject, drafts)
        self._compose(connection, sobject, drafts)
        self._check_references(connection, sobject, drafts)
        self._check_unique(connection, sobject, drafts)
        if is_all_or_none and any(draft.error for draft in drafts):
            for draft in _good(drafts):
                message = "Record rolled back because not all records were valid and the request was using AllOrNone"
                draft.error = RowError("ALL_OR_NONE_OPERATION_ROLLED_BACK", message)
        self._save(connection, sobject, drafts)
        return [Outcome(None if d.is_new and d.error else d.id, d.is_new and not d.error, d.error) for d in drafts]

    def _draft(self, columns: Columns, row: Row) -> Draft:
        draft = Draft()
        for name, value in row.items():
            column = columns[name]
            target = column.field
            try:
                if target.name == "Id":
                    draft.id = None if value is None else complete_id(str(value))
                elif target.is_read_only:
                    raise _not_writable(target)
                elif value is None:
                    draft.values[target.name] = False if target.type == "Checkbox" else None
                elif column.parent_key is not None:
                    draft.parents.append((target, column.parent_key, str(value)))
                else:
                    draft.values[target.name] = column.parse(value)
            except RowError as error:
                draft.error = draft.error or error
        return draft

    def _match_by_id(
        self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft], is_upsert: bool
    ) -> None:
        counts = Counter(draft.id for draft in drafts)
        known = load_records(connection, [draft.id for draft in drafts if draft.id])
        for draft in _good(drafts):
            if draft.id is None and is_upsert:
                draft.is_new = True
            elif draft.id is None:
                draft.error = RowError("MISSING_ARGUMENT", "Id not specified in an update call")
            elif self._store.object_of(draft.id) != sobject.name:
                draft.error = RowError(
                    "MALFORMED_ID", f"{sobject.label} ID: id value of incorrect type: {draft.id}", "Id"
                )
            elif draft.id not in known:
                draft.error = RowError("ENTITY_IS_DELETED", "entity is deleted")
            elif counts[draft.id] > 1:
                draft.error = RowError("DUPLICATE_VALUE", f"Duplicate id specified: {draft.id}")

    def _match_by_key(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft], key: Field) -> None:
        keys = [value if isinstance(value := draft.values.get(key.name), str) else None for draft in drafts]
        folded = [None if value is None else key.fold(value) for value in keys]
        counts = Counter(folded)
        found = find_ids(connection, sobject.name, key.name, {value for value in folded if value is not None})
        for draft, value in zip(drafts, folded, strict=True):
            if draft.error is not None:
                continue
            if value is None:
                draft.error = RowError("MISSING_ARGUMENT", f"{key.name} not specified", key.name)
                continue
            if draft.id is not None:
                draft.error = RowError("INVALID_FIELD", "cannot specify Id in an upsert by external id", "Id")
                continue
            ids = found.get(value, [])
            if counts[value] > 1:
                message = f"Duplicate external id specified: {draft.values[key.name]}"
                draft.error = RowError("DUPLICATE_VALUE", message, key.name)
            elif len(ids) > 1:
                message = f"{key.name}: more than one record found for external id field: [{', '.join(ids)}]"
                draft.error = RowError("DUPLICATE_EXTERNAL_ID", message, key.name)
            draft.is_new = not ids
            draft.id = ids[0] if ids else None

    def _resolve_parents(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        wanted: dict[tuple[str, Field], set[str]] = defaultdict(set)
        for draft in _good(drafts):
            for target, key, value in draft.parents:
                wanted[target.reference_to or "", key].add(key.fold(value))
        found = {pair: find_ids(connection, pair[0], pair[1].name, keys) for pair, keys in wanted.items()}
        for draft in _good(drafts):
            for target, key, value in draft.parents:
                if target.name == "RecordTypeId":
                    record_type = self._record_types.get((sobject.name, value.casefold()))
                    ids = [record_type] if record_type else []
                else:
                    ids = found[target.reference_to or "", key].get(key.fold(value), [])
                if len(ids) == 1:
                    draft.values[target.name] = ids[0]
                    continue
                problem = "matches more than one record" if ids else "not found"
                message = (
                    f"Foreign key external ID: {value} {problem} for field {key.name} in entity {target.reference_to}"
                )
                draft.error = RowError("INVALID_FIELD", message)
                break

    def _compose(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        known = load_records(connection, [draft.id for draft in _good(drafts) if draft.id])
        now = format_time(self._now())
        required = [item for item in sobject.fields.values() if item.is_required]
        fixed = [item for item in sobject.fields.values() if item.is_fixed_after_insert]
        defaults = self._defaults(sobject)
        for draft in _good(drafts):
            draft.before = {} if draft.is_new else known[draft.id or ""]
            if draft.is_new:
                body = {**defaults, "CreatedDate": now, "CreatedById": self._user_id}
            else:
                body = dict(draft.before)
                moved = [item for item in fixed if draft.values.get(item.name, body[item.name]) != body[item.name]]
                if moved:
                    draft.error = _not_writable(moved[0])
            body.update(draft.values)
            body.update(LastModifiedDate=now, SystemModstamp=now, LastModifiedById=self._user_id)
            draft.body = {name: value for name, value in body.items() if value is not None}
            missing = [item.name for item in required if item.name not in draft.body]
            if missing and draft.error is None:
                message = f"Required fields are missing: [{', '.join(missing)}]"
                draft.error = RowError("REQUIRED_FIELD_MISSING", message, *missing)

    def _defaults(self, sobject: SObject) -> Body:
        values: Body = {
            item.name: item.default == "true" if item.type == "Checkbox" else item.default
            for item in sobject.fields.values()
            if item.default is not None and not item.is_read_only
        }
        return values | ({"OwnerId": self._user_id} if "OwnerId" in sobject.fields else {})

    def _check_references(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        references = [item for item in sobject.fields.values() if item.is_reference and not item.is_read_only]
        sent = {
            value
            for draft in _good(drafts)
            for item in references
            if isinstance(value := draft.values.get(item.name), str)
        }
        parents = load_records(connection, sent)
        for draft in _good(drafts):
            for item in references:
                value = draft.values.get(item.name)
                if isinstance(value, str):
                    draft.error = draft.error or self._judge_reference(sobject, item, value, parents.get(value))

    def _judge_reference(self, sobject: SObject, item: Field, value: str, parent: Body | None) -> RowError | None:
        if self._store.object_of(value) != item.reference_to:
            return RowError("MALFORMED_ID", f"{item.label}: id value of incorrect type: {value}", item.name)
        is_others_type = item.name == "RecordTypeId" and parent is not None and parent["SobjectType"] != sobject.name
        if parent is None or is_others_type:
            return RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", item.name)
        if self._developer_names.get(parent.get("RecordTypeId", "")) in item.excluded_record_types:
            message = f"Value does not exist or does not match filter criteria.: {item.label}"
            return RowError("FIELD_FILTER_VALIDATION_EXCEPTION", message, item.name)
        return None

    def _check_unique(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        for item in (item for item in sobject.indexed if item.is_unique):
            sent = {
                id(draft): item.fold(value)
                for draft in _good(drafts)
                if isinstance(value := draft.values.get(item.name), str)
            }
            if not sent:
                continue
            owners = {
                value: ids[0] for value, ids in find_ids(connection, sobject.name, item.name, sent.values()).items()
            }
            for draft in _good(drafts):
                value = sent.get(id(draft))
                if value is None:
                    continue
                me = draft.id or f"row {id(draft)}"
                owner = owners.setdefault(value, me)
                if owner != me:
                    message = f"duplicate value found: {item.name} duplicates value on record with id: {owner}"
                    draft.error = RowError("DUPLICATE_VALUE", message, item.name)

    def _save(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        fresh = [draft for draft in _good(drafts) if draft.is_new]
        prefix = self._store.prefixes[sobject.name]
        for draft, record_id in zip(fresh, new_ids(connection, prefix, len(fresh)), strict=True):
            draft.id = draft.body["Id"] = record_id
        if sobject.name_format and fresh:
            last = take_numbers(connection, f"{sobject.name}.Name", len(fresh))
            head, _, zeros = sobject.name_format.rstrip("}").partition("{")
            for number, draft in enumerate(fresh, last - len(fresh) + 1):
                draft.body["Name"] = f"{head}{number:0{len(zeros)}}"
        save_records(connection, (draft.body for draft in _good(drafts)))
        index_keys(connection, sobject, [(draft.before, draft.body) for draft in _good(drafts)])


def index_keys(connection: sqlite3.Connection, sobject: SObject, changes: Iterable[tuple[Body, Body]]) -> None:
    """Bring the index of keys in step with records that went from the first to the second of each pair."""
    gone, come = [], []
    for before, after in changes:
        for item in sobject.indexed:
            old, new = before.get(item.name), after.get(item.name)
            if old != new:
                gone += [] if old is None else [(sobject.name, item.name, item.fold(old), after["Id"])]
                come += [] if new is None else [(sobject.name, item.name, item.fold(new), after["Id"])]
    connection.executemany("delete from record_key where object = ? and field = ? and value = ? and id = ?", gone)
    connection.executemany("insert into record_key values (?, ?, ?, ?)", come)


def find_key(sobject: SObject, name: str) -> Field:
    """The key field that an upsert names.

    Raises:
        ApiError: it is no external id, as Salesforce says it.
    """
    key = sobject.by_lower_name.get(name.lower())
    if key is None or not key.is_key:
        message = (
            f"Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for "
            f"{sobject.name}"
        )
        raise ApiError(400, "INVALID_FIELD", message)
    return key


def _good(drafts: list[Draft]) -> Iterator[Draft]:
    return (draft for draft in drafts if draft.error is None)


def _not_writable(item: Field) -> RowError:
    message = (
        f"Unable to create/update fields: {item.name}. Please check the security settings of this field and verify "
        "that it is read/write for your profile or permission set."
    )
    return RowError("INVALID_FIELD_FOR_INSERT_UPDATE", message, item.name)
