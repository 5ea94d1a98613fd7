"""Queries over the store: SOQL becomes SQL over the records' JSON, and results are read page by page.

A query with more rows than a page keeps the ids of its rows as a cursor: a page can be read again, also after a
restart, and a record that is written meanwhile neither shifts the pages nor comes twice.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

import orjson

from include.sandbox.salesforce.errors import ApiError, unknown_column
from include.sandbox.salesforce.schema import Field, Schema, SObject
from include.sandbox.salesforce.soql import Comparison, Condition, Junction, Literal, Not, Query, parse_soql
from include.sandbox.salesforce.store import ID_END, Store
from include.sandbox.salesforce.values import NUMBERS, complete_id, say_json, value_parser

PAGE_ROWS = 2000


class Source(Protocol):
    """Gives connections: the store, or the transaction of a composite call."""

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection to read with."""

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection to write with."""


@dataclass(frozen=True)
class Selected:
    """One selected field: where it stands in the answer, what it is, and its SQL."""

    path: str
    steps: tuple[tuple[str, str, str], ...]
    field: Field
    sql: str


class Plan:
    """A query compiled to SQL. `r` is the queried object's record; parents are joined as `p1`, `p2`, ..."""

    def __init__(self, schema: Schema, store: Store, query: Query, is_all: bool = False) -> None:
        self._schema, self._parents, self._is_all = schema, dict[tuple[str, str], str](), is_all
        self._joins: list[str] = []
        self._parameters: list[object] = []
        self.sobject = find_object(schema, query.sobject)
        self.selected = [self._select(path) for path in query.paths]
        counted = self._resolve("r", self.sobject, query.count)[1] if query.count else None
        conditions = [self._compile(query.where)] if query.where else []
        prefix = store.prefixes[self.sobject.name]
        conditions += [f"r.id >= '{prefix}' and r.id < '{prefix}{ID_END}'"]
        conditions += [] if is_all else ["not r.is_deleted"]
        conditions += [f"{counted} is not null"] if counted else []
        self._where = " and ".join(conditions)
        self._order = ", ".join([self._order_sql(order) for order in query.orders] + ["r.id"])
        self._window = f"limit {-1 if query.limit is None else query.limit} offset {query.offset}"

    def read_ids(self, connection: sqlite3.Connection, most: int) -> list[str]:
        """The ids of the first `most` rows."""
        return [row[0] for row in connection.execute(f"{self._ids_sql()} limit {most}", self._parameters)]

    def save_cursor(self, connection: sqlite3.Connection, cursor: str, soql: str) -> int:
        """Keep the ids of all rows as `cursor`; return how many there are."""
        numbered = f"select ?, row_number() over () - 1, id from ({self._ids_sql()})"  # noqa: S608 - see _resolve
        total = connection.execute(f"insert into cursor_row {numbered}", (cursor, *self._parameters)).rowcount
        connection.execute("insert into cursor values (?, ?, ?)", (cursor, soql, total))
        return total

    def count(self, connection: sqlite3.Connection) -> int:
        """How many rows there are."""
        return int(connection.execute(f"select count(*) from ({self._ids_sql()})", self._parameters).fetchone()[0])  # noqa: S608

    def read_rows(self, connection: sqlite3.Connection, ids: list[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of `ids` in their order: the id, the ids of joined parents, the selected values."""
        place = {record_id: position for position, record_id in enumerate(ids)}
        parents = "".join(f", {alias}.id" for alias in self._parents.values())
        values = "".join(f", {item.sql}" for item in self.selected)
        sql = f"select r.id{parents}{values} from record r {' '.join(self._joins)} where r.id in (select value from json_each(?))"  # noqa: S608
        found = connection.execute(sql, (_array(ids),))
        return iter(sorted(found, key=lambda row: place[row[0]]))

    def read_cursor(
        self, connection: sqlite3.Connection, cursor: str, start: int, most: int, is_csv: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Up to `most` rows of a kept cursor from row `start` on, as `read_rows` gives them; read as they are asked for.

        With `is_csv` a row is only its selected values, as a bulk query's results have them.
        """
        wanted = [_csv_sql(item) for item in self.selected]
        if not is_csv:
            wanted = ["r.id", *(f"{alias}.id" for alias in self._parents.values()), *(i.sql for i in self.selected)]
        sql = (
            f"select {', '.join(wanted)} from cursor_row c cross join record r on r.id = c.id {' '.join(self._joins)}"  # noqa: S608
            " where c.cursor = ? and c.position >= ? and c.position < ? order by c.position"
        )
        yield from connection.execute(sql, (cursor, start, start + most))

    def say_json(self, row: tuple[Any, ...], version: str) -> dict[str, Any]:
        """One row as the query call answers it."""
        parent_ids = dict(zip(self._parents.values(), row[1:], strict=False))
        record: dict[str, Any] = {"attributes": _attributes(self.sobject.name, row[0], version)}
        for item, kept in zip(self.selected, row[1 + len(parent_ids) :], strict=True):
            target: dict[str, Any] | None = record
            for name, alias, parent in item.steps:
                parent_id = parent_ids[alias]
                if target is None:
                    break
                fresh = {"attributes": _attributes(parent, parent_id, version)} if parent_id else None
                target = target.setdefault(name, fresh)
            if target is not None:
                target[item.field.name] = say_json(item.field, kept)
        return record

    def _ids_sql(self) -> str:
        joins = " ".join(self._joins)
        return f"select * from (select r.id from record r {joins} where {self._where} order by {self._order} {self._window})"  # noqa: S608

    def _select(self, path: str) -> Selected:
        field, sql, steps = self._walk("r", self.sobject, path)
        return Selected(path, steps, field, sql)

    def _resolve(self, alias: str, sobject: SObject, path: str) -> tuple[Field, str]:
        return self._walk(alias, sobject, path)[:2]

    def _walk(self, alias: str, sobject: SObject, path: str) -> tuple[Field, str, tuple[tuple[str, str, str], ...]]:
        """Follow a path from a joined record; only names that the schema knows get into the SQL."""
        steps = []
        *relationships, name = path.split(".")
        if relationships and relationships[0].lower() == sobject.name.lower():
            relationships = relationships[1:]
        for word in relationships:
            reference = sobject.by_relationship.get(word.lower())
            if reference is None or reference.reference_to is None:
                message = f"Didn't understand relationship '{word}' in field path."
                raise ApiError(400, "INVALID_FIELD", message)
            alias, sobject = self._join(alias, reference), self._schema[reference.reference_to]
            steps.append((reference.relationship or "", alias, sobject.name))
        field = sobject.by_lower_name.get(name.lower())
        if field is None:
            raise unknown_column(sobject.name, name)
        return field, self._value_sql(alias, sobject, field), tuple(steps)

    def _join(self, alias: str, reference: Field) -> str:
        pair = (alias, reference.name)
        if pair not in self._parents:
            self._parents[pair] = joined = f"p{len(self._parents) + 1}"
            self._joins.append(
                f"left join record {joined} on {joined}.id = {_json(alias, reference.name)} and not {joined}.is_deleted"
            )
        return self._parents[pair]

    def _value_sql(self, alias: str, sobject: SObject, field: Field) -> str:
        if field.name == "Id":
            return f"{alias}.id"
        if field.name == "IsDeleted":
            return f"{alias}.is_deleted"
        if field.formula is None:
            return _json(alias, field.name)
        parts = [part.strip() for part in field.formula.split(" & ")]
        if len(parts) == 1:
            return self._resolve(alias, sobject, parts[0])[1]
        texts = [
            part.replace('"', "'")
            if part.startswith('"')
            else f"coalesce({self._resolve(alias, sobject, part)[1]}, '')"
            for part in parts
        ]
        return f"trim({' || '.join(texts)})"

    def _order_sql(self, order: Any) -> str:
        field, sql = self._resolve("r", self.sobject, order.path)
        direction, nulls = "desc" if order.is_descending else "asc", "last" if order.is_nulls_last else "first"
        return f"{_comparable(field, sql)} {direction} nulls {nulls}"

    def _compile(self, condition: Condition) -> str:
        match condition:
            case Junction(word, parts):
                return "(" + f" {word} ".join(self._compile(part) for part in parts) + ")"
            case Not(part):
                return f"not {self._compile(part)}"
            case Comparison():
                return self._compare(condition)
            case _:
                assert_never(condition)

    def _compare(self, condition: Comparison) -> str:
        field, sql = self._resolve("r", self.sobject, condition.path)
        left, operator, value = _comparable(field, sql), condition.operator, condition.value
        if operator in {"=", "!=", "in", "not in"}:
            values = value if isinstance(value, list) else [value]
            # The index of keys knows no deleted records.
            is_own_key = field.is_indexed and "." not in condition.path and not self._is_all
            equal = self._equal_key(field, values) if is_own_key else self._equal(field, left, values)
            nulls = f" or {left} is null" if None in values else ""
            return f"({'' if operator in {'=', 'in'} else 'not '}({equal}{nulls}))"
        assert not isinstance(value, list)
        if operator == "like":
            self._parameters.append(value)
            return f"(coalesce({left} like ? escape '\\', 0))"
        self._parameters.append(_bound(field, value))
        return f"(coalesce({left} {operator} ?, 0))"

    def _equal(self, field: Field, left: str, values: list[Literal]) -> str:
        self._parameters.append(_array(_bound(field, value) for value in values if value is not None))
        return f"coalesce({left} in (select value from json_each(?)), 0)"  # noqa: S608

    def _equal_key(self, field: Field, values: list[Literal]) -> str:
        self._parameters.append(_array(field.fold(str(value)) for value in values if value is not None))
        own = f"object = '{self.sobject.name}' and field = '{field.name}'"
        return f"r.id in (select id from record_key where {own} and value in (select value from json_each(?)))"  # noqa: S608


class Queries:
    """Runs queries and keeps cursors; `source` is where to read and write, the store itself unless said."""

    def __init__(self, schema: Schema, store: Store, source: Source | None = None) -> None:
        self._schema, self._store, self._source = schema, store, source or store

    def plan(self, soql: str, is_all: bool = False) -> Plan:
        """Compile a query; `is_all` sees deleted records too."""
        return Plan(self._schema, self._store, parse_soql(soql), is_all)

    def answer(self, soql: str, version: str, page_rows: int, is_all: bool = False) -> dict[str, Any]:
        """The first page of a query, as the query call answers it."""
        query = parse_soql(soql)
        plan = Plan(self._schema, self._store, query, is_all)
        with self._source.read() as connection:
            if query.count is not None:
                return _say_count(query, plan.count(connection))
            ids = plan.read_ids(connection, page_rows + 1)
            if len(ids) <= page_rows:
                records = [plan.say_json(row, version) for row in plan.read_rows(connection, ids)]
                return {"totalSize": len(records), "done": True, "records": records}
        cursor = "0r8" + secrets.token_hex(8)[:15]
        with self._source.write() as connection:
            plan.save_cursor(connection, cursor, soql)
        return self.answer_page(cursor, 0, version, page_rows)

    def answer_page(self, cursor: str, start: int, version: str, page_rows: int) -> dict[str, Any]:
        """A page of a kept query from row `start` on."""
        with self._source.read() as connection:
            plan, total = self.open_cursor(connection, cursor, start)
            rows = list(plan.read_cursor(connection, cursor, start, page_rows))
        end = start + len(rows)
        page: dict[str, Any] = {"totalSize": total, "done": end >= total}
        if end < total:
            page["nextRecordsUrl"] = f"/services/data/{version}/query/{cursor}-{end}"
        return page | {"records": [plan.say_json(row, version) for row in rows]}

    def open_cursor(self, connection: sqlite3.Connection, cursor: str, start: int) -> tuple[Plan, int]:
        """The plan of a cursor and its number of rows in all.

        Raises:
            ApiError: INVALID_QUERY_LOCATOR.
        """
        known = connection.execute("select soql, total from cursor where id = ?", (cursor,)).fetchone()
        if known is None or start < 0:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self.plan(known[0], is_all=True), known[1]


def find_object(schema: Schema, name: str) -> SObject:
    """The object that a query names, whatever the name's case.

    Raises:
        ApiError: INVALID_TYPE, the org has none.
    """
    for known, sobject in schema.items():
        if known.lower() == name.lower():
            return sobject
    raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")


def _say_count(query: Query, count: int) -> dict[str, Any]:
    if not query.count:
        return {"totalSize": count, "done": True, "records": []}
    record = {"attributes": {"type": "AggregateResult"}, "expr0": count}
    return {"totalSize": 1, "done": True, "records": [record]}


def _attributes(sobject: str, record_id: str, version: str) -> dict[str, str]:
    return {"type": sobject, "url": f"/services/data/{version}/sobjects/{sobject}/{record_id}"}


def _json(alias: str, name: str) -> str:
    return f"json_extract({alias}.body, '$.{name}')"


def _csv_sql(item: Selected) -> str:
    """What gives a value as a bulk query's results say it; null is an empty cell."""
    if item.field.type == "Checkbox":
        return f"iif({item.sql}, 'true', 'false')"
    return f"replace({item.sql}, '+0000', 'Z')" if item.field.type == "DateTime" else item.sql


def _comparable(field: Field, sql: str) -> str:
    if field.type in NUMBERS:
        return f"cast({sql} as real)"
    if field.type in {"Checkbox", "Date", "DateTime", "Id"} or field.is_reference or field.is_case_sensitive:
        return f"coalesce({sql}, 0)" if field.type == "Checkbox" else sql
    return f"{sql} collate nocase"


def _bound(field: Field, value: Literal) -> object:
    if field.type in NUMBERS:
        return float(str(value))
    if field.type in {"Checkbox", "Date", "DateTime"} or field.is_reference:
        return value_parser(field)(value)
    return complete_id(str(value)) if field.type == "Id" else value


def _array(values: Iterable[object]) -> str:
    return orjson.dumps(list(values)).decode()
