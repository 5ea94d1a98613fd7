"""Run SOQL queries on the store: translate them to SQL, and read results page by page.

A query with more rows than fit in a page stores the ids of all rows as a cursor. So a page can be read again, even after a
restart, and records that are written in the meantime do not shift the pages.
"""

import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sandbox.salesforce.conditions import Catalog, Scope, Value, array, find_object, json_sql
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.schema import Field, Schema, SObject, find_children_of
from sandbox.salesforce.soql import Expression, Query, parse_soql
from sandbox.salesforce.store import Store
from sandbox.salesforce.values import render_json

PAGE_ROWS = 2000
MOST_WITH_ALL_FIELDS = 200


class Source(Protocol):
    """A source of database connections: the store, or a call, which may be part of a composite request's transaction."""

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield a connection for reading."""

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield a connection for writing."""


@dataclass(frozen=True)
class Selected:
    """One selected field: its path as in the query, and its compiled value."""

    path: str
    value: Value


class Plan:
    """A query for records, compiled to SQL.

    Args:
        catalog: The org's objects, store and current time.
        query: The parsed query.
        sobject: The object of the query.
        is_all: Whether deleted records are included.
        link: For a child query: the field of the children that references the parent.
    """

    def __init__(
        self, catalog: Catalog, query: Query, sobject: SObject, is_all: bool = False, link: Field | None = None
    ) -> None:
        self.sobject, self._query, self._link = sobject, query, link
        self._scope = Scope(catalog, query, sobject, is_all)
        self.selected = [Selected(path, self._scope.resolve(Expression(path))) for path in self._list_paths()]
        self._order = ", ".join([*map(self._scope.sort, query.orders), "r.id"])
        self.children: dict[str, Plan] = {}
        for inner in query.children:
            relation = find_children_of(catalog.schema, sobject, inner.sobject)
            if relation is None:
                message = f"Didn't understand relationship '{inner.sobject}' in FROM part of query call."
                raise ApiError(400, "INVALID_TYPE", message)
            child, item = relation
            # Child queries never return deleted records, not even in queryAll.
            self.children[item.child_relationship or ""] = Plan(catalog, inner, child, link=item)

    def read_ids(self, connection: sqlite3.Connection, most: int) -> list[str]:
        """Return the record ids of the first `most` rows."""
        sql = f"{self._ids_sql()} limit {most}"
        return [row[0] for row in connection.execute(sql, self._scope.parameters)]

    def save_cursor(self, connection: sqlite3.Connection, cursor: str, soql: str) -> int:
        """Store the record ids of all rows under the name `cursor`; return the number of rows."""
        numbered = f"select ?, row_number() over () - 1, id from ({self._ids_sql()})"  # noqa: S608 - see Scope
        parameters = (cursor, *self._scope.parameters)
        total = connection.execute(f"insert into cursor_row {numbered}", parameters).rowcount
        connection.execute("insert into cursor values (?, ?, ?)", (cursor, soql, total))
        return total

    def count(self, connection: sqlite3.Connection) -> int:
        """Return the number of rows."""
        sql = f"select count(*) from ({self._ids_sql()})"  # noqa: S608
        return int(connection.execute(sql, self._scope.parameters).fetchone()[0])

    def read_rows(self, connection: sqlite3.Connection, ids: list[str]) -> Iterator[tuple[Any, ...]]:
        """Return the rows of these records, in the order of `ids`.

        Each row contains the record's id, the ids of its joined parents, and the selected values.
        """
        place = {record_id: position for position, record_id in enumerate(ids)}
        sql = f"select {self._row_sql()} from {self._scope.joined} where r.id in (select value from json_each(?))"  # noqa: S608
        rows = connection.execute(sql, (array(ids),))
        return iter(sorted(rows, key=lambda row: place[row[0]]))

    def read_cursor(
        self, connection: sqlite3.Connection, cursor: str, start: int, most: int, is_csv: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Yield up to `most` rows of a stored cursor, beginning with row `start` (0 is the first), in the form of `read_rows`.

        With `is_csv`, a row contains only its selected values, in the form of a bulk query's results.
        """
        columns = ", ".join(_csv_sql(item.value) for item in self.selected) if is_csv else self._row_sql()
        joined = self._scope.joined.removeprefix("record r")
        sql = (
            f"select {columns} from cursor_row c cross join record r on r.id = c.id {joined}"  # noqa: S608
            " where c.cursor = ? and c.position >= ? and c.position < ? order by c.position"
        )
        yield from connection.execute(sql, (cursor, start, start + most))

    def render_rows(
        self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], version: str
    ) -> list[dict[str, Any]]:
        """Return rows in the form of a query response, with the children of each row."""
        records = [self._render_row(row, version) for row in rows]
        for name, plan in self.children.items():
            children = plan.read_children(connection, [row[0] for row in rows], version)
            for record, row in zip(records, rows, strict=True):
                nested = children.get(row[0])
                record[name] = {"totalSize": len(nested), "done": True, "records": nested} if nested else None
        return records

    def read_children(
        self, connection: sqlite3.Connection, parents: list[str], version: str
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the children of each parent, by the parent's id. LIMIT and OFFSET apply to each parent by itself."""
        assert self._link is not None
        link = json_sql("r", self._link)
        sql = (
            f"select r.id, {link} from {self._scope.joined}"  # noqa: S608
            f" where {self._scope.condition} and {link} in (select value from json_each(?)) order by {self._order}"
        )
        ids: dict[str, list[str]] = defaultdict(list)
        for record_id, parent_id in connection.execute(sql, [*self._scope.parameters, array(parents)]):
            ids[parent_id].append(record_id)
        first, most = self._query.offset, self._query.limit
        window = slice(first, None if most is None else first + most)
        return {
            parent_id: self.render_rows(connection, list(self.read_rows(connection, children[window])), version)
            for parent_id, children in ids.items()
        }

    def _list_paths(self) -> Iterator[str]:
        """Yield the selected paths. `FIELDS(...)` becomes the names of the object's fields of that kind.

        Raises:
            ApiError: MALFORMED_QUERY, the kind of fields is unknown, or ALL or CUSTOM has no LIMIT up to `MOST_WITH_ALL_FIELDS`.
        """
        for item in self._query.items:
            if not item.expression.function:
                yield item.expression.path
                continue
            kind = item.expression.path.upper()
            if kind not in {"ALL", "STANDARD", "CUSTOM"}:
                raise ApiError(400, "MALFORMED_QUERY", f"unexpected token: {item.expression}")
            if kind != "STANDARD" and not 0 < (self._query.limit or 0) <= MOST_WITH_ALL_FIELDS:
                message = f"The SOQL FIELDS function must have a LIMIT of at most {MOST_WITH_ALL_FIELDS}"
                raise ApiError(400, "MALFORMED_QUERY", message)
            for name in self.sobject.fields:
                if kind == "ALL" or (kind == "CUSTOM") == name.endswith("__c"):
                    yield name

    def _row_sql(self) -> str:
        parents = (f"{alias}.id" for alias in self._scope.parents.values())
        return ", ".join(["r.id", *parents, *(item.value.sql for item in self.selected)])

    def _render_row(self, row: tuple[Any, ...], version: str) -> dict[str, Any]:
        parent_ids = dict(zip(self._scope.parents.values(), row[1:], strict=False))
        record: dict[str, Any] = {"attributes": _attributes(self.sobject.name, row[0], version)}
        for item, value in zip(self.selected, row[1 + len(parent_ids) :], strict=True):
            target: dict[str, Any] | None = record
            for name, alias, parent in item.value.steps:
                parent_id = parent_ids[alias]
                if target is None:
                    break
                fresh = {"attributes": _attributes(parent, parent_id, version)} if parent_id else None
                target = target.setdefault(name, fresh)
            if target is not None:
                target[item.value.field.name] = render_json(item.value.field, value)
        return record

    def _ids_sql(self) -> str:
        scope = self._scope
        ids = f"select r.id from {scope.joined} where {scope.condition} order by {self._order} {_window(self._query)}"  # noqa: S608
        return f"select * from ({ids})"  # noqa: S608


class Queries:
    """Runs queries and stores their cursors. `source` yields the connections; by default, the store does."""

    def __init__(self, schema: Schema, store: Store, now: Callable[[], datetime], source: Source | None = None) -> None:
        self._catalog, self._source = Catalog(schema, store, now), source or store

    def plan(self, soql: str, is_all: bool = False) -> Plan:
        """Parse and compile a query for records; `is_all` includes deleted records."""
        return self._compile(parse_soql(soql), is_all)

    def answer(self, soql: str, version: str, page_rows: int, is_all: bool = False) -> dict[str, Any]:
        """Run a query and return the response: the first page, or the groups or the count of an aggregate query."""
        query = parse_soql(soql)
        if query.is_aggregate and not query.is_count:
            with self._source.read() as connection:
                return self._answer_groups(connection, query, is_all)
        if query.is_count:
            query.items = []
        plan = self._compile(query, is_all)
        with self._source.read() as connection:
            if not query.items and not query.children:
                return {"totalSize": plan.count(connection), "done": True, "records": []}
            ids = plan.read_ids(connection, page_rows + 1)
            if len(ids) <= page_rows:
                records = plan.render_rows(connection, list(plan.read_rows(connection, ids)), version)
                return {"totalSize": len(records), "done": True, "records": records}
        cursor = "0r8" + secrets.token_hex(8)[:15]
        with self._source.write() as connection:
            plan.save_cursor(connection, cursor, soql)
        return self.answer_page(cursor, 0, version, page_rows)

    def answer_page(self, cursor: str, start: int, version: str, page_rows: int) -> dict[str, Any]:
        """Return the response with the page of a stored query that begins with row `start`."""
        with self._source.read() as connection:
            plan, total = self.open_cursor(connection, cursor, start)
            rows = list(plan.read_cursor(connection, cursor, start, page_rows))
            records = plan.render_rows(connection, rows, version)
        end = start + len(rows)
        page: dict[str, Any] = {"totalSize": total, "done": end >= total}
        if end < total:
            page["nextRecordsUrl"] = f"/services/data/{version}/query/{cursor}-{end}"
        return page | {"records": records}

    def open_cursor(self, connection: sqlite3.Connection, cursor: str, start: int) -> tuple[Plan, int]:
        """Return the compiled query of a cursor, and its total number of rows.

        Raises:
            ApiError: INVALID_QUERY_LOCATOR, there is no such cursor, or `start` is negative.
        """
        saved = connection.execute("select soql, total from cursor where id = ?", (cursor,)).fetchone()
        if saved is None or start < 0:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self.plan(saved[0], is_all=True), saved[1]

    def _compile(self, query: Query, is_all: bool) -> Plan:
        return Plan(self._catalog, query, find_object(self._catalog.schema, query.sobject), is_all)

    def _answer_groups(self, connection: sqlite3.Connection, query: Query, is_all: bool) -> dict[str, Any]:
        """Run a query with groups or aggregates, and return the response.

        Raises:
            ApiError: EXCEEDED_ID_LIMIT, the result has more rows than a page.
        """
        scope = Scope(self._catalog, query, find_object(self._catalog.schema, query.sobject), is_all)
        names, values = _name_items(query), [scope.resolve(item.expression) for item in query.items]
        groups = ", ".join(scope.resolve(group).comparable for group in query.groups)
        having = f" having {scope.compile(query.having)}" if query.having else ""
        order = ", ".join(map(scope.sort, query.orders))
        sql = (
            f"select {', '.join(value.sql for value in values)} from {scope.joined} where {scope.condition}"  # noqa: S608
            f"{f' group by {groups}' * bool(groups)}{having}{f' order by {order}' * bool(order)} {_window(query)}"
        )
        rows = connection.execute(sql, scope.parameters).fetchall()
        if len(rows) > PAGE_ROWS:
            message = (
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
            )
            raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
        records = [
            {"attributes": {"type": "AggregateResult"}}
            | {name: render_json(value.field, stored) for name, value, stored in zip(names, values, row, strict=True)}
            for row in rows
        ]
        return {"totalSize": len(records), "done": True, "records": records}


def _name_items(query: Query) -> list[str]:
    """Return the name of each selected value of a group: its alias or field; `expr0`, `expr1`, ... for functions without an alias."""
    names, unnamed = list[str](), 0
    for item in query.items:
        if item.alias or not item.expression.function:
            names.append(item.alias or item.expression.path.rpartition(".")[2])
        else:
            names.append(f"expr{unnamed}")
            unnamed += 1
    return names


def _window(query: Query) -> str:
    return f"limit {-1 if query.limit is None else query.limit} offset {query.offset}"


def _attributes(sobject: str, record_id: str, version: str) -> dict[str, str]:
    return {"type": sobject, "url": f"/services/data/{version}/sobjects/{sobject}/{record_id}"}


def _csv_sql(value: Value) -> str:
    """Return the SQL expression of a value in a bulk query's results; null is an empty cell."""
    if value.field.type == "Checkbox":
        return f"iif({value.sql}, 'true', 'false')"
    return f"replace({value.sql}, '+0000', 'Z')" if value.field.type == "DateTime" else value.sql
