"""Copy the org's records into `control.org_record`, to compare them with ours: first all of them, later only changed ones.

Each record is read with the fields that the sync writes, and with the fields that identify it: name, birth date, address, e-mail,
telephone, account number, and the records that it refers to. Fields that an org lacks are left out. Account numbers are hashed here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import sqlalchemy as sa

from include.crm.bulk_query import BulkQuery
from include.crm.objects.mapping import RECORD_TYPE, CrmObject, name_lookup
from include.crm.run import ReportLine
from include.crm.salesforce import SalesforceSession
from include.database.copy import copy_in
from include.errors import ConfigurationError
from include.sensitive import Redactor

OVERLAP = timedelta(minutes=10)
"""Each read starts this long before the end of the last one, because Salesforce commits some changes late."""

_ADDRESS = {"street": "Street", "city": "City", "state_code": "State", "postal_code": "PostalCode"}
_TRAITS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "Account": {
        "name": ("Name",),
        "first_name": ("FirstName",),
        "last_name": ("LastName",),
        "birth_date": ("PersonBirthdate",),
        "email": ("PersonEmail",),
        "phone": ("PersonMobilePhone", "PersonHomePhone", "Phone"),
        **{trait: (f"PersonMailing{part}", f"Billing{part}") for trait, part in _ADDRESS.items()},
    },
    "Contact": {
        "name": ("Name",),
        "first_name": ("FirstName",),
        "last_name": ("LastName",),
        "birth_date": ("Birthdate",),
        "email": ("Email",),
        "phone": ("MobilePhone", "HomePhone", "Phone"),
        **{trait: (f"Mailing{part}", f"Other{part}") for trait, part in _ADDRESS.items()},
    },
}
_NAMED: Mapping[str, Sequence[str]] = {"name": ("Name",)}
"""Object -> column of `control.org_record` -> fields that may have its value; the first field with a value is used."""
_OTHER_LINKS = {"Account": {"PrimaryContact": ("PersonContactId", "FinServ__PrimaryContact__c")}}
_LAST_FOUR = re.compile(r"(?:[x*#.\u2026]|ending(?: in)?|\()\s*-?(\d{4})\)?\s*$", re.IGNORECASE)
"""The last four digits of an account number, as users write them into the name of a financial account."""
_TEXTS = ("name", "first_name", "last_name", "birth_date", "email", "phone", *_ADDRESS)

_UNTIL = sa.text("select read_until, columns from control.org_read where sobject = :sobject")
# The entity of an Account follows from its record type in the mapping in force; else from the org's shape.
_ENTITY = """
case when sobject <> 'Account' then entity
     when cast(:types as jsonb) ? (payload ->> 'RecordType.DeveloperName') then cast(:types as jsonb) ->> (payload ->> 'RecordType.DeveloperName')
     else {account_entity} end
"""
_STORE = f"""
insert into control.org_record as r (sobject, salesforce_id, entity, external_key, {", ".join(_TEXTS)}, links, number_hash, number_last4,
                                     payload, changed_at)
select sobject, salesforce_id, {{entity}}, external_key, name, first_name, last_name, birth_date::date, email, phone, street, city, state_code,
       postal_code, links, number_hash, number_last4, payload, changed_at::timestamptz
from (select sobject, salesforce_id, entity, external_key, {", ".join(_TEXTS)}, links::jsonb, number_hash, number_last4, payload::jsonb,
             changed_at from org_page where not is_deleted) p
on conflict (sobject, salesforce_id) do update
set (entity, external_key, {", ".join(_TEXTS)}, links, number_hash, number_last4, payload, changed_at) =
    (excluded.entity, excluded.external_key, {", ".join(f"excluded.{name}" for name in _TEXTS)}, excluded.links, excluded.number_hash,
     excluded.number_last4, excluded.payload, excluded.changed_at)
"""  # noqa: S608
_FORGET = sa.text("""
delete from control.org_record r using org_page p where p.is_deleted and r.sobject = p.sobject and r.salesforce_id = p.salesforce_id
""")
_FORGET_ALL = sa.text("delete from control.org_record where sobject = :sobject")
_DONE = sa.text("""
insert into control.org_read
select :sobject, coalesce(max(changed_at), 'epoch'), cast(:columns as text[]) from control.org_record where sobject = :sobject
on conflict (sobject) do update set read_until = excluded.read_until, columns = excluded.columns
""")
_PAGE = pa.schema(
    {name: pa.string() for name in ("sobject", "salesforce_id", "entity", "external_key", *_TEXTS, "links")}
    | {name: pa.string() for name in ("number_hash", "number_last4", "payload", "changed_at")}
    | {"is_deleted": pa.bool_()}
)


def has_foreign(session: SalesforceSession, mappings: Sequence[CrmObject]) -> bool:
    """Return whether the org has records without our key. Relations do not count: they matter only between records with our key.

    Raises:
        ConfigurationError: The org lacks an object or its key field.
    """
    for sobject, key_field in {each.sobject: each.key_field for each in mappings if not each.same_if}.items():
        query = urlencode({"q": f"SELECT Id FROM {sobject} WHERE {key_field} = null LIMIT 1"})  # noqa: S608
        answer = session.call("GET", f"/query?{query}")
        if not answer.is_ok:
            raise ConfigurationError(
                f"Salesforce rejected a query: {answer.message}", sobject=sobject, code=answer.code
            )
        if answer.body["records"]:
            return True
    return False


def read_org(
    db: sa.Connection,
    session: SalesforceSession,
    mappings: Sequence[CrmObject],
    account_entity: str,
    redactor: Redactor | None,
    report_line: ReportLine,
) -> int:
    """Copy the org records that have changed since the last call; return the number of records read.

    A record that was deleted or merged in the org is removed from the copy. If a read is interrupted, the next call repeats it, because
    the time of a read is stored after its last page.

    Args:
        db: A connection outside a transaction.
        session: The session.
        mappings: The objects to read.
        account_entity: SQL of the entity of an Account; see `Shape`.
        redactor: Hashes account numbers. With None, only their last four digits are stored and compared.
        report_line: Receives a line per object.

    Raises:
        ConfigurationError: The org lacks an object, or rejected a query.
        TargetUnavailable: Salesforce is unavailable.
    """
    read = 0
    for sobject in dict.fromkeys(mapping.sobject for mapping in mappings):
        reader = _Reader(db, session, [each for each in mappings if each.sobject == sobject], account_entity, redactor)
        rows = reader.run()
        report_line(f"{sobject}: {rows:,} records of the org were read")
        read += rows
    return read


class _Reader:
    """Reads one object.

    Args:
        db: A connection outside a transaction.
        session: The session.
        mappings: The mappings of the object.
        account_entity: SQL of the entity of an account.
        redactor: Hashes account numbers.
    """

    def __init__(
        self,
        db: sa.Connection,
        session: SalesforceSession,
        mappings: Sequence[CrmObject],
        account_entity: str,
        redactor: Redactor | None,
    ) -> None:
        self._store_page = sa.text(_STORE.format(entity=_ENTITY.format(account_entity=account_entity)))
        self._db, self._session, self._redactor = db, session, redactor
        self._sobject, self._key_field = mappings[0].sobject, mappings[0].key_field
        self._entity = mappings[0].entity
        types = [(f, mapping.entity) for mapping in mappings for f in mapping.fields if f.name == RECORD_TYPE]
        self._types = {value: entity for f, entity in types for value in f.values}
        fields = [field for mapping in mappings for field in mapping.fields]
        known = self._describe()
        self._links = {
            name: [path]
            for name, path in ((f.name.partition(".")[0], name_lookup(f.name.partition(".")[0])) for f in fields if f.links_to)
        }  # fmt: skip
        for name, paths in _OTHER_LINKS.get(self._sobject, {}).items():
            self._links[name] = [path for path in paths if path in known]
        traits = _NAMED if self._entity == "account" else _TRAITS.get(self._sobject, {})
        self._traits = {name: [field for field in paths if field in known] for name, paths in traits.items()}
        self._number = next((f.name for f in fields if f.is_masked), "")
        self._sent: dict[str, str] = {f.name: f.kind for f in fields if "." in f.name or f.name in known}
        if self._sobject == "Account" and "RecordTypeId" in known:
            self._sent[RECORD_TYPE] = "text"

    def run(self) -> int:
        columns = sorted({*self._sent, *(p for of in (self._traits, self._links) for paths in of.values() for p in paths)})  # fmt: skip
        with self._db.begin():
            last = self._db.execute(_UNTIL, {"sobject": self._sobject}).first()
            is_first = last is None or list(last.columns) != columns
        where = f" WHERE SystemModstamp >= {self._stamp(last.read_until - OVERLAP)}" if last and not is_first else ""
        names = list(dict.fromkeys(["Id", "IsDeleted", "SystemModstamp", self._key_field, *columns]))
        query = BulkQuery(self._session, self._sobject, f"SELECT {', '.join(names)} FROM {self._sobject}{where}")  # noqa: S608
        if is_first:
            with self._db.begin():
                self._db.execute(_FORGET_ALL, {"sobject": self._sobject})
        read = 0

        def take(pieces: Iterator[bytes]) -> None:
            nonlocal read
            read += self._store(b"".join(pieces))

        query.read(take)
        query.require_all(read)
        with self._db.begin():
            self._db.execute(_DONE, {"sobject": self._sobject, "columns": columns})
        return read

    def _describe(self) -> set[str]:
        answer = self._session.call("GET", f"/sobjects/{self._sobject}/describe")
        if not answer.is_ok:
            raise ConfigurationError(
                "The org has no such object, or the integration user may not see it: deploy it, or give the user access",
                sobject=self._sobject, status=answer.status, code=answer.code,
            )  # fmt: skip
        return {field["name"] for field in answer.body["fields"]}

    @staticmethod
    def _stamp(at: datetime) -> str:
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _store(self, page: bytes) -> int:
        table = pa.csv.read_csv(
            io.BytesIO(page),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types={name.decode(): pa.string() for name in _read_header(page)}, strings_can_be_null=True,
                null_values=[""],
            ),
        )  # fmt: skip
        with self._db.begin():
            copy_in(self._db, "org_page", _PAGE, [self._build(table)])
            self._db.execute(_FORGET)
            self._db.execute(self._store_page, {"types": orjson.dumps(self._types).decode()})
            self._db.execute(sa.text("drop table org_page"))
        return int(table.num_rows)

    def _build(self, table: pa.Table) -> pa.Table:
        rows = table.num_rows

        def first(paths: Sequence[str]) -> Any:
            return pc.coalesce(*(table[path] for path in paths)) if paths else pa.nulls(rows, pa.string())

        traits = {name: first(self._traits.get(name, ())) for name in _TEXTS}
        hashes, last4, masked = self._read_numbers(table, traits["name"])
        if masked is not None:
            table = table.set_column(table.column_names.index(self._number), self._number, masked)
        links = {name: first(paths) for name, paths in self._links.items()}
        payload = {name: _convert(table[name], kind) for name, kind in self._sent.items()}
        return pa.table(
            {
                "sobject": pa.array([self._sobject] * rows, pa.string()),
                "salesforce_id": table["Id"],
                "entity": pa.array([self._entity] * rows, pa.string()),
                "external_key": table[self._key_field],
                **traits,
                "links": _dump(links, rows, has_nulls=False),
                "number_hash": hashes,
                "number_last4": last4,
                "payload": _dump(payload, rows),
                "changed_at": table["SystemModstamp"],
                "is_deleted": pc.equal(pc.utf8_lower(table["IsDeleted"]), "true"),
            }
        ).cast(_PAGE)

    def _read_numbers(self, table: pa.Table, names: Any) -> tuple[Any, Any, Any]:
        """Return the hash and the last four digits of each account number, and the masked number for storage."""
        if self._number not in table.column_names:
            none = pa.nulls(table.num_rows, pa.string())
            return none, none, None
        redactor = self._redactor or Redactor(b"only the last four are used")
        hashes, last4, masked = [], [], []
        for number, name in zip(table[self._number].to_pylist(), names.to_pylist(), strict=True):
            hashed, shown = redactor.split(number)
            found = _LAST_FOUR.search(name or "")
            shown = shown or (found[1] if found else None)
            hashes.append(hashed if self._redactor else None)
            last4.append(shown)
            masked.append(f"xxxx{shown}" if number and shown else None)
        return pa.array(hashes, pa.string()), pa.array(last4, pa.string()), pa.array(masked, pa.string())


def _read_header(page: bytes) -> list[bytes]:
    return [name.strip().strip(b'"') for name in page.partition(b"\n")[0].split(b",")]


def _convert(column: Any, kind: str) -> Any:
    return pc.coalesce(pc.utf8_lower(column), "false") if kind == "flag" else column


def _dump(columns: Mapping[str, Any], rows: int, *, has_nulls: bool = True) -> pa.Array:
    """Return the rows of columns as JSON objects."""
    if not columns:
        return pa.array(["{}"] * rows, pa.string())
    names = list(columns)
    values = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    objects = (dict(zip(names, row, strict=True)) for row in values)
    if not has_nulls:
        objects = ({name: value for name, value in row.items() if value is not None} for row in objects)
    return pa.array([orjson.dumps(row).decode() for row in objects], pa.string())
