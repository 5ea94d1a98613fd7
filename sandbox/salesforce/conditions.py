"""Compile a query's paths, functions and conditions to SQL over the JSON of the records."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

import orjson

from sandbox.salesforce.errors import ApiError, RowError, unknown_column
from sandbox.salesforce.schema import Field, Schema, SObject
from sandbox.salesforce.soql import Comparison, Condition, Expression, Junction, Literal, Not, Order, Query
from sandbox.salesforce.soql_dates import Span
from sandbox.salesforce.store import ID_END, Store
from sandbox.salesforce.values import NUMBERS, complete_id, format_time, value_parser

_WHOLE = Field("", "Number")
_OF_ANY_TYPE = frozenset({"COUNT", "COUNT_DISTINCT", "MIN", "MAX"})
_PARTS = {
    "CALENDAR_YEAR": "cast(substr({0}, 1, 4) as integer)",
    "CALENDAR_QUARTER": "(cast(substr({0}, 6, 2) as integer) + 2) / 3",
    "CALENDAR_MONTH": "cast(substr({0}, 6, 2) as integer)",
    "DAY_IN_MONTH": "cast(substr({0}, 9, 2) as integer)",
}


@dataclass(frozen=True)
class Catalog:
    """What the compilation of a query needs: the org's objects, the store, and the current time."""

    schema: Schema
    store: Store
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Value:
    """A compiled expression.

    Attributes:
        field: The field of the expression; for a function, a field with the type of its result.
        sql: The SQL of the stored value.
        steps: The parents on the path, each as the name of the relationship, the alias of the joined record, and the object.
    """

    field: Field
    sql: str
    steps: tuple[tuple[str, str, str], ...] = ()

    @property
    def comparable(self) -> str:
        """Return the SQL of the value for comparing, sorting and grouping."""
        kind = self.field.type
        if kind in NUMBERS:
            return f"cast({self.sql} as real)"
        if kind == "Checkbox":
            return f"coalesce({self.sql}, 0)"
        if kind in {"Date", "DateTime", "Id"} or self.field.is_reference or self.field.is_case_sensitive:
            return self.sql
        return f"{self.sql} collate nocase"


class Scope:
    """The FROM and WHERE of a query as SQL, with its parameters.

    The records of the object have the alias `r`; their parents are joined as `p1`, `p2`, ... The SQL contains only names from the schema:
    values from the caller are parameters.
    """

    def __init__(self, catalog: Catalog, query: Query, sobject: SObject, is_all: bool = False) -> None:
        self.parents, self.parameters = dict[tuple[str, str], str](), list[object]()
        self._catalog, self._sobject, self._is_all = catalog, sobject, is_all
        self._own_names = {sobject.name.lower(), query.alias.lower()}
        self._joins: list[str] = []
        prefix = catalog.store.prefixes[sobject.name]
        self._conditions = [f"r.id >= '{prefix}' and r.id < '{prefix}{ID_END}'"]
        self._conditions += [] if is_all else ["not r.is_deleted"]
        if query.where:
            self._conditions.append(self.compile(query.where))

    @property
    def joined(self) -> str:
        """Return the FROM clause: the records `r` and the parents joined so far. Read it after all paths are resolved."""
        return f"record r {' '.join(self._joins)}"

    @property
    def condition(self) -> str:
        """Return the conditions that every result row must satisfy."""
        return " and ".join(self._conditions)

    def resolve(self, expression: Expression) -> Value:
        """Compile a path, or a function of a path; join the parents on the path.

        Raises:
            ApiError: INVALID_FIELD, the path is unknown or the function does not support the field; MALFORMED_QUERY for `FIELDS`.
        """
        name = expression.function
        if name == "FIELDS":
            raise ApiError(400, "MALFORMED_QUERY", f"unexpected token: {expression}")
        if not expression.path:
            return Value(_WHOLE, "count(*)")
        value = self._walk("r", self._sobject, expression.path)
        if not name:
            return value
        fitting = NUMBERS if name in {"SUM", "AVG"} else {"Date", "DateTime"}
        if name not in _OF_ANY_TYPE and value.field.type not in fitting:
            message = f"field {value.field.name} does not support {expression.function}"
            raise ApiError(400, "INVALID_FIELD", message)
        if name in {"COUNT", "COUNT_DISTINCT"}:
            return Value(_WHOLE, f"count({'distinct ' * (name == 'COUNT_DISTINCT')}{value.comparable})")
        if name in {"MIN", "MAX"}:
            return Value(value.field, f"{name.lower()}({value.comparable})")
        if name in {"SUM", "AVG"}:
            return Value(value.field, f"decimal_{name.lower()}({value.sql})")
        if name == "DAY_ONLY":
            return Value(Field("", "Date"), f"substr({value.sql}, 1, 10)")
        return Value(_WHOLE, _PARTS[name].format(value.sql))

    def sort(self, order: Order) -> str:
        """Return the SQL of one sort key."""
        direction, nulls = "desc" if order.is_descending else "asc", "last" if order.is_nulls_last else "first"
        return f"{self.resolve(order.by).comparable} {direction} nulls {nulls}"

    def compile(self, condition: Condition) -> str:
        """Return the SQL of a condition, and add its parameters to `parameters`.

        Raises:
            ApiError: A name is unknown, or a value does not have the type of its field.
        """
        match condition:
            case Junction(word, parts):
                return "(" + f" {word} ".join(self.compile(part) for part in parts) + ")"
            case Not(part):
                return f"not {self.compile(part)}"
            case Comparison():
                return self._compare(condition)
            case _:
                assert_never(condition)

    def _walk(self, alias: str, sobject: SObject, path: str) -> Value:
        """Compile a path that starts at the joined record `alias`, an `sobject`."""
        steps = []
        *relationships, name = path.split(".")
        if relationships and relationships[0].lower() in self._own_names:
            relationships = relationships[1:]
        for relationship in relationships:
            reference = sobject.by_relationship.get(relationship.lower())
            if reference is None or reference.reference_to is None:
                message = f"Didn't understand relationship '{relationship}' in field path."
                raise ApiError(400, "INVALID_FIELD", message)
            alias, sobject = self._join(alias, reference), self._catalog.schema[reference.reference_to]
            steps.append((reference.relationship or "", alias, sobject.name))
        field = sobject.by_lower_name.get(name.lower())
        if field is None:
            raise unknown_column(sobject.name, name)
        return Value(field, self._value_sql(alias, sobject, field), tuple(steps))

    def _join(self, alias: str, reference: Field) -> str:
        pair = (alias, reference.name)
        if pair not in self.parents:
            self.parents[pair] = joined = f"p{len(self.parents) + 1}"
            self._joins.append(
                f"left join record {joined} on {joined}.id = {json_sql(alias, reference)} and not {joined}.is_deleted"
            )
        return self.parents[pair]

    def _value_sql(self, alias: str, sobject: SObject, field: Field) -> str:
        if field.name == "Id":
            return f"{alias}.id"
        if field.name == "IsDeleted":
            return f"{alias}.is_deleted"
        if field.formula is None:
            return json_sql(alias, field)
        parts = [part.strip() for part in field.formula.split(" & ")]
        if len(parts) == 1:
            return self._walk(alias, sobject, parts[0]).sql
        texts = [
            part.replace('"', "'") if part.startswith('"') else f"coalesce({self._walk(alias, sobject, part).sql}, '')"
            for part in parts
        ]
        return f"trim({' || '.join(texts)})"

    def _compare(self, condition: Comparison) -> str:
        left = self.resolve(condition.left)
        operator, value = condition.operator, condition.value
        if isinstance(value, Query):
            inside = f"coalesce({left.comparable} in ({self._select_one(value)}), 0)"
            return inside if operator == "in" else f"(not {inside})"
        if isinstance(value, Span):
            return self._compare_span(left, operator, value)
        if left.field.name == "IsDeleted" and not left.steps and operator == "=" and value is True:
            return left.sql  # the condition of an index
        if operator in {"=", "!=", "in", "not in"}:
            values = value if isinstance(value, list) else [value]
            # The index of keys contains no deleted records, so a query that includes them can't use it.
            is_own_key = left.field.is_indexed and not left.steps and not condition.left.function and not self._is_all
            equal = self._equal_key(left.field, values) if is_own_key else self._equal(left, values)
            nulls = f" or {left.comparable} is null" if None in values else ""
            return f"({'' if operator in {'=', 'in'} else 'not '}({equal}{nulls}))"
        assert not isinstance(value, list)
        if operator == "like":
            self.parameters.append(value)
            return f"(coalesce({left.comparable} like ? escape '\\', 0))"
        self.parameters.append(_bound(left.field, value))
        return f"(coalesce({left.comparable} {operator} ?, 0))"

    def _select_one(self, query: Query) -> str:
        """Return the SQL of the query inside `IN (...)`, and add its parameters.

        Raises:
            ApiError: MALFORMED_QUERY, the query does not select exactly one field, or has ORDER BY, LIMIT or OFFSET.
        """
        if len(query.items) != 1 or query.children or query.is_aggregate:
            raise ApiError(400, "MALFORMED_QUERY", "the inner query of IN must select one field")
        if query.orders or query.limit is not None or query.offset:
            raise ApiError(400, "MALFORMED_QUERY", "the inner query of IN must not have ORDER BY, LIMIT or OFFSET")
        inner = Scope(self._catalog, query, find_object(self._catalog.schema, query.sobject), self._is_all)
        column = inner.resolve(query.items[0].expression).sql
        self.parameters += inner.parameters
        return f"select {column} from {inner.joined} where {inner.condition} and {column} is not null"  # noqa: S608

    def _compare_span(self, left: Value, operator: str, span: Span) -> str:
        if left.field.type not in {"Date", "DateTime"}:
            raise _mismatch(left.field)
        is_day = left.field.type == "Date"
        try:
            moments = span.find_moments(self._catalog.now())
            bounds = [moment.date().isoformat() if is_day else format_time(moment) for moment in moments]
        except (ValueError, OverflowError) as error:
            raise ApiError(400, "INVALID_FIELD", "the date literal is out of range") from error
        if operator in {"=", "!="}:
            self.parameters += bounds
            inside = f"coalesce({left.sql} >= ? and {left.sql} < ?, 0)"
            return inside if operator == "=" else f"(not {inside})"
        self.parameters.append(bounds[0] if operator in {"<", ">="} else bounds[1])
        return f"coalesce({left.sql} {'<' if operator[0] == '<' else '>='} ?, 0)"

    def _equal(self, left: Value, values: list[Literal]) -> str:
        self.parameters.append(array(_bound(left.field, value) for value in values if value is not None))
        return f"coalesce({left.comparable} in (select value from json_each(?)), 0)"  # noqa: S608

    def _equal_key(self, field: Field, values: list[Literal]) -> str:
        self.parameters.append(array(field.fold(str(value)) for value in values if value is not None))
        own = f"object = '{self._sobject.name}' and field = '{field.name}'"
        return f"r.id in (select id from record_key where {own} and value in (select value from json_each(?)))"  # noqa: S608


def find_object(schema: Schema, name: str) -> SObject:
    """Return the object with this name; case is ignored.

    Raises:
        ApiError: INVALID_TYPE, the org has no such object.
    """
    for candidate, sobject in schema.items():
        if candidate.lower() == name.lower():
            return sobject
    raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")


def array(values: Iterable[object]) -> str:
    """Return the values as a JSON array, the parameter of SQLite's `json_each`."""
    return orjson.dumps(list(values)).decode()


def json_sql(alias: str, field: Field) -> str:
    """Return the SQL of a field's stored value in the record `alias`."""
    return f"json_extract({alias}.body, '$.{field.name}')"


def _bound(field: Field, value: Literal) -> object:
    try:
        if field.type in NUMBERS:
            return float(str(value))
        if field.type in {"Checkbox", "Date", "DateTime"} or field.is_reference:
            return value_parser(field)(value)
    except (ValueError, RowError) as error:
        raise _mismatch(field) from error
    return complete_id(str(value)) if field.type == "Id" else value


def _mismatch(field: Field) -> ApiError:
    message = f"value of filter criterion for field '{field.name}' must be of type {field.type.lower()}"
    return ApiError(400, "INVALID_FIELD", message)
