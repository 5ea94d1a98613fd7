"""Insert, update and upsert batches of rows. Each row is validated by the org's metadata, and an error affects only its own row.

All rows of a batch go through each step together, so that a lookup is one query for the whole batch. As in Salesforce,
one check concerns the whole batch: if several rows have the same key, all of them fail.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

from sandbox.salesforce import relations
from sandbox.salesforce.columns import Column, Columns, Row
from sandbox.salesforce.drafts import Draft, Outcome, draft_row, list_valid, refuse_field
from sandbox.salesforce.errors import ApiError, RowError
from sandbox.salesforce.persons import TYPES, Persons, refuse_names
from sandbox.salesforce.schema import Field, Schema, SObject
from sandbox.salesforce.statuses import settle
from sandbox.salesforce.store import (
    Body,
    Store,
    find_ids,
    find_records,
    index_keys,
    load_records,
    new_ids,
    save_records,
    take_numbers,
)
from sandbox.salesforce.values import format_time

BATCH_ROWS = 10_000
"""Maximum number of rows in one internal batch of a bulk job. Rows with the same key are detected only within a batch."""


class Writer:
    """Writes rows to the org as the user `user_id`."""

    def __init__(self, schema: Schema, store: Store, now: Callable[[], datetime], user_id: str) -> None:
        self._schema, self._store, self._now, self._user_id = schema, store, now, user_id
        with store.read() as connection:
            ids = [id for (id,) in connection.execute("select id from record where id glob '012*'")]
            types = load_records(connection, ids)
        self._record_types = {(b["SobjectType"], b["DeveloperName"].casefold()): id for id, b in types.items()}
        self._developer_names = {id: body["DeveloperName"] for id, body in types.items()}
        self._persons: Persons | None = None
        if "PersonContactId" in schema["Account"].fields:
            person_types = (id for id, name in self._developer_names.items() if name in TYPES)
            self._persons = Persons(schema, frozenset(person_types))

    def write(
        self,
        connection: sqlite3.Connection,
        sobject: SObject,
        operation: str,
        rows: Sequence[Row],
        key: Field | None = None,
        is_all_or_none: bool = False,
        is_locked: Callable[[Draft], bool] | None = None,
    ) -> list[Outcome]:
        """Parse the rows of a JSON call and write them with `write_drafts`, which documents the arguments; return the outcomes.

        Raises:
            ApiError: INVALID_FIELD, a column does not exist; nothing is written.
        """
        columns = Columns(self._schema, sobject)
        drafts = [draft_row(columns, row) for row in rows]
        return self.write_drafts(connection, sobject, operation, drafts, columns, key, is_all_or_none, is_locked)

    def write_drafts(
        self,
        connection: sqlite3.Connection,
        sobject: SObject,
        operation: str,
        drafts: list[Draft],
        columns: Columns,
        key: Field | None = None,
        is_all_or_none: bool = False,
        is_locked: Callable[[Draft], bool] | None = None,
    ) -> list[Outcome]:
        """Write one batch of rows in the caller's transaction; return the outcomes in the order of the rows.

        Args:
            connection: The transaction.
            sobject: The object of all rows.
            operation: `insert`, `update` (rows contain `Id`) or `upsert` (rows contain `key`).
            drafts: The parsed rows; those with an error are not written.
            columns: The columns with which the rows were parsed.
            key: The field that identifies the records of an upsert; None for the id.
            is_all_or_none: Whether the error of one row rejects all rows.
            is_locked: Returns whether another transaction locks the row; None if no row is locked.
        """
        if is_locked is not None:
            for draft in drafts:
                if is_locked(draft):
                    draft.error = RowError("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        if operation == "insert":
            for draft in list_valid(drafts):
                draft.is_new = True
        elif operation == "update" or key is None or key.name == "Id":
            self._match_by_id(connection, sobject, drafts, is_upsert=operation == "upsert")
        else:
            self._match_by_key(connection, sobject, drafts, key)
        self._resolve_parents(connection, sobject, drafts)
        self._compose(connection, sobject, drafts)
        self._check_references(connection, sobject, columns, drafts)
        self._check_unique(connection, sobject, drafts)
        contacts = self._draft_contacts(connection, drafts) if sobject.name == "Account" else []
        if is_all_or_none and any(draft.error for draft in drafts):
            for draft in list_valid(drafts):
                message = "Record rolled back because not all records were valid and the request was using AllOrNone"
                draft.error = RowError("ALL_OR_NONE_OPERATION_ROLLED_BACK", message)
        self._save(connection, sobject, drafts, contacts)
        return [Outcome(None if d.is_new and d.error else d.id, d.is_new and not d.error, d.error) for d in drafts]

    def _match_by_id(
        self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft], is_upsert: bool
    ) -> None:
        counts = Counter(draft.id for draft in drafts)
        records = load_records(connection, [draft.id for draft in drafts if draft.id])
        for draft in list_valid(drafts):
            if draft.id is None and is_upsert:
                draft.is_new = True
            elif draft.id is None:
                draft.error = RowError("MISSING_ARGUMENT", "Id not specified in an update call")
            elif self._store.object_of(draft.id) != sobject.name:
                message = f"{sobject.label} ID: id value of incorrect type: {draft.id}"
                draft.error = RowError("MALFORMED_ID", message, "Id")
            elif draft.id not in records:
                draft.error = RowError("ENTITY_IS_DELETED", "entity is deleted")
            elif counts[draft.id] > 1:
                draft.error = RowError("DUPLICATE_VALUE", f"Duplicate id specified: {draft.id}")
            else:
                draft.before = records[draft.id]

    def _match_by_key(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft], key: Field) -> None:
        keys = [value if isinstance(value := draft.values.get(key.name), str) else None for draft in drafts]
        folded = [None if value is None else key.fold(value) for value in keys]
        counts = Counter(folded)
        by_value = find_records(connection, sobject.name, key.name, {value for value in folded if value is not None})
        for draft, value in zip(drafts, folded, strict=True):
            if draft.error is not None:
                continue
            if value is None:
                draft.error = RowError("MISSING_ARGUMENT", f"{key.name} not specified", key.name)
                continue
            if draft.id is not None:
                draft.error = RowError("INVALID_FIELD", "cannot specify Id in an upsert by external id", "Id")
                continue
            matches = by_value.get(value, ())
            if counts[value] > 1:
                message = f"Duplicate external id specified: {draft.values[key.name]}"
                draft.error = RowError("DUPLICATE_VALUE", message, key.name)
            elif len(matches) > 1:
                ids = ", ".join(body["Id"] for body in matches)
                message = f"{key.name}: more than one record found for external id field: [{ids}]"
                draft.error = RowError("DUPLICATE_EXTERNAL_ID", message, key.name)
            elif matches:
                draft.before = matches[0]
                draft.id = draft.before["Id"]
            draft.is_new = not matches

    def _resolve_parents(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        values_by_column: dict[Column, set[str]] = defaultdict(set)
        for draft in list_valid(drafts):
            for column, value in draft.parents:
                values_by_column[column].add(value)
        parents = {
            column: self._find_parents(connection, sobject, column, values)
            for column, values in values_by_column.items()
        }
        for draft in list_valid(drafts):
            for column, value in draft.parents:
                ids = parents[column][value]
                if len(ids) == 1:
                    draft.values[column.name] = ids[0]
                    continue
                problem = "matches more than one record" if ids else "not found"
                key, target = column.parent_key, column.field.reference_to
                assert key is not None
                message = f"Foreign key external ID: {value} {problem} for field {key.name} in entity {target}"
                draft.error = RowError("INVALID_FIELD", message)
                break

    def _find_parents(
        self, connection: sqlite3.Connection, sobject: SObject, column: Column, values: set[str]
    ) -> dict[str, list[str]]:
        """Return the ids of the parents with each key value, by that value; an empty list if no parent has it."""
        key = column.parent_key
        assert key is not None
        if column.name == "RecordTypeId":
            types = {value: self._record_types.get((sobject.name, value.casefold())) for value in values}
            return {value: [id] if id else [] for value, id in types.items()}
        folded = {value: key.fold(value) for value in values}
        ids = find_ids(connection, column.field.reference_to or "", key.name, folded.values())
        return {value: ids.get(form, []) for value, form in folded.items()}

    def _compose(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        changed, created = self._stamps()
        required = [item.name for item in sobject.fields.values() if item.is_required]
        keys = [item.name for item in sobject.indexed]
        fixed = [item for item in sobject.fields.values() if item.is_fixed_after_insert]
        fresh = self._defaults(sobject) | created
        has_persons = self._persons is not None and sobject.name == "Account"
        for draft in list_valid(drafts):
            draft.body = {**(fresh if draft.is_new else draft.before), **draft.values, **changed}
            has_nulls = None in draft.values.values()
            if has_nulls:
                draft.body = {name: value for name, value in draft.body.items() if value is not None}
            if not draft.is_new:
                draft.has_new_keys = any(_differs(draft, name) for name in keys if name in draft.values)
                draft.error = self._check_move(draft, fixed)
            settle(sobject.name, draft.body)
            if has_persons and self._persons and draft.error is None:
                self._persons.check(draft)
            if (draft.is_new or has_nulls) and draft.error is None:
                missing = [name for name in required if name not in draft.body]
                if missing:
                    message = f"Required fields are missing: [{', '.join(missing)}]"
                    draft.error = RowError("REQUIRED_FIELD_MISSING", message, *missing)

    def _check_move(self, draft: Draft, fixed: list[Field]) -> RowError | None:
        """Return the error if the row changes a parent that can't be changed; None otherwise.

        `fixed` are the object's references that can't be changed after a record was created. The account of a person account's contact
        can't be changed either.
        """
        for item in fixed:
            if item.name in draft.values and _differs(draft, item.name):
                return refuse_field(item)
        is_persons = draft.before.get("IsPersonAccount") and "AccountId" in draft.before
        return refuse_names(["AccountId"]) if is_persons and _differs(draft, "AccountId") else None

    def _stamps(self) -> tuple[Body, Body]:
        """Return the values of the audit fields for an update, and those for an insert."""
        now = format_time(self._now())
        changed = {"LastModifiedDate": now, "SystemModstamp": now, "LastModifiedById": self._user_id}
        return changed, changed | {"CreatedDate": now, "CreatedById": self._user_id}

    def _defaults(self, sobject: SObject) -> Body:
        values: Body = {
            item.name: item.default == "true" if item.type == "Checkbox" else item.default
            for item in sobject.fields.values()
            if item.default is not None and not item.is_read_only
        }
        return values | ({"OwnerId": self._user_id} if "OwnerId" in sobject.fields else {})

    def _check_references(
        self, connection: sqlite3.Connection, sobject: SObject, columns: Columns, drafts: list[Draft]
    ) -> None:
        """Check that each parent has the right object, exists and matches the lookup filter; record an error in each invalid draft.

        A parent that was found by its key exists, so it is read only if there is a filter.
        """
        fields = {column.name: column.field for column in columns.values() if column.is_reference}
        if not fields:
            return
        references = [
            (draft, item, value)
            for draft in list_valid(drafts)
            for name, item in fields.items()
            if isinstance(value := draft.values.get(name), str)
        ]
        parents = load_records(connection, {value for _, _, value in references})
        for draft, item, value in references:
            draft.error = draft.error or self._check_reference(sobject, item, value, parents.get(value))

    def _check_reference(self, sobject: SObject, item: Field, value: str, parent: Body | None) -> RowError | None:
        if self._store.object_of(value) not in item.targets:
            return RowError("MALFORMED_ID", f"{item.label}: id value of incorrect type: {value}", item.name)
        is_others_type = item.name == "RecordTypeId" and parent is not None and parent["SobjectType"] != sobject.name
        if parent is None or is_others_type:
            return RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", item.name)
        if self._developer_names.get(parent.get("RecordTypeId", "")) in item.excluded_record_types:
            message = f"Value does not exist or does not match filter criteria.: {item.label}"
            return RowError("FIELD_FILTER_VALIDATION_EXCEPTION", message, item.name)
        return None

    def _check_unique(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        changed = [draft for draft in list_valid(drafts) if draft.has_new_keys] if sobject.unique else []
        keys = [(draft, sobject.keys_of(draft.before), sobject.keys_of(draft.body)) for draft in changed]
        for name in sobject.unique:
            pairs = [(draft, new[name]) for draft, old, new in keys if name in new and new[name] != old.get(name)]
            if not pairs:
                continue
            owners_by_value = find_ids(connection, sobject.name, name, {value for _, value in pairs})
            owners = {value: ids[0] for value, ids in owners_by_value.items()}
            for draft, value in pairs:
                owner = owners.setdefault(value, f"row {id(draft)}")
                if owner not in (draft.id, f"row {id(draft)}"):
                    label = name if name in sobject.fields else "<unknown>"
                    message = f"duplicate value found: {label} duplicates value on record with id: {owner}"
                    draft.error = draft.error or RowError("DUPLICATE_VALUE", message, *{label} & sobject.fields.keys())

    def _draft_contacts(self, connection: sqlite3.Connection, accounts: list[Draft]) -> list[tuple[Draft, Draft]]:
        """Return each draft of a person account with the draft of its contact. An error of the contact rejects the account."""
        if self._persons is None:
            return []
        contact = self._schema["Contact"]
        fresh = self._defaults(contact) | self._stamps()[1]
        pairs = self._persons.draft_contacts(connection, accounts, fresh)
        self._check_unique(connection, contact, [draft for _, draft in pairs])
        for account, draft in pairs:
            account.error = draft.error
        return pairs

    def _save(
        self,
        connection: sqlite3.Connection,
        sobject: SObject,
        drafts: list[Draft],
        contacts: list[tuple[Draft, Draft]],
    ) -> None:
        self._give_ids(connection, sobject, drafts)
        pairs = [(account, draft) for account, draft in contacts if account.error is None]
        self._give_ids(connection, self._schema["Contact"], [draft for _, draft in pairs])
        for account, draft in pairs:
            account.body["PersonContactId"], draft.body["AccountId"] = draft.id, account.id
        self._store_drafts(connection, sobject, drafts)
        self._store_drafts(connection, self._schema["Contact"], [draft for _, draft in pairs])
        if sobject.name == "Contact":
            relation = self._schema[relations.NAME]
            fresh = self._defaults(relation) | self._stamps()[1]
            relations.follow_contacts(connection, self._store, relation, drafts, fresh)
            if self._persons is not None:
                self._persons.follow_contacts(connection, drafts)

    def _give_ids(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        fresh = [draft for draft in list_valid(drafts) if draft.is_new]
        if not fresh:
            return
        ids = new_ids(connection, self._store.prefixes[sobject.name], len(fresh))
        for draft, record_id in zip(fresh, ids, strict=True):
            draft.id = draft.body["Id"] = record_id
        if sobject.name_format:
            last = take_numbers(connection, f"{sobject.name}.Name", len(fresh))
            head, _, zeros = sobject.name_format.rstrip("}").partition("{")
            for number, draft in enumerate(fresh, last - len(fresh) + 1):
                draft.body["Name"] = f"{head}{number:0{len(zeros)}}"

    def _store_drafts(self, connection: sqlite3.Connection, sobject: SObject, drafts: list[Draft]) -> None:
        save_records(connection, (draft.body for draft in list_valid(drafts)))
        changed = (draft for draft in list_valid(drafts) if draft.has_new_keys)
        index_keys(connection, sobject, ((draft.before, draft.body) for draft in changed))


def find_key(sobject: SObject, name: str) -> Field:
    """Return the key field of an upsert by its name.

    Raises:
        ApiError: INVALID_FIELD, the object has no such field, or records can't be matched by it.
    """
    key = sobject.by_lower_name.get(name.lower())
    if key is None or not key.is_key:
        message = (
            f"Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for "
            f"{sobject.name}"
        )
        raise ApiError(400, "INVALID_FIELD", message)
    return key


def _differs(draft: Draft, name: str) -> bool:
    return bool(draft.before.get(name) != draft.body.get(name))
