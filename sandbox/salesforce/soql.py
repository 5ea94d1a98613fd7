"""Parse SOQL queries into their selected fields, object and conditions.

    SELECT item, ... FROM object [alias] [WHERE condition] [GROUP BY expression, ... [HAVING condition]]
        [ORDER BY expression [ASC|DESC] [NULLS FIRST|LAST], ...] [LIMIT n] [OFFSET n]
    item        expression [alias] | (child query)
    expression  path | FUNCTION(path) | COUNT() | FIELDS(ALL|STANDARD|CUSTOM)
    condition   with AND, OR, NOT, brackets and comparisons: =, !=, <>, <, <=, >, >=, LIKE, [NOT] IN
    value       text, number, date, time, TRUE, FALSE, NULL, a date literal; for IN a list or (query)

Not supported: TYPEOF, GROUP BY ROLLUP and CUBE, WITH, FOR, USING SCOPE, fiscal date literals.
"""

import re
from dataclasses import dataclass, field
from typing import NoReturn

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.soql_dates import Span, parse_span

Literal = str | bool | None
MOST_OFFSET = 2000
AGGREGATES = frozenset({"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"})
_FUNCTIONS = AGGREGATES | {"CALENDAR_YEAR", "CALENDAR_QUARTER", "CALENDAR_MONTH", "DAY_IN_MONTH", "DAY_ONLY", "FIELDS"}
_OPERATORS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">=", "like"})
# Words that can follow an item or an object without being its alias.
_CLAUSES = frozenset({"from", "where", "group", "having", "order", "limit", "offset", "with", "for", "using"})
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_][\w.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),:])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Expression:
    """The path of a field, or a function of it. The name of the function is in capitals; `COUNT()` has an empty path."""

    path: str
    function: str = ""

    def __str__(self) -> str:
        return f"{self.function}({self.path})" if self.function else self.path

    @property
    def key(self) -> str:
        """Return a text that is the same for expressions that differ only in case."""
        return str(self).lower()

    @property
    def is_aggregate(self) -> bool:
        """Return whether the function aggregates rows."""
        return self.function in AGGREGATES


@dataclass(frozen=True)
class Comparison:
    """A comparison of an expression (`left`) with a value. For `in` and `not in`, the value is a list or a query."""

    left: Expression
    operator: str
    value: "Literal | Span | list[Literal] | Query"


@dataclass(frozen=True)
class Not:
    """The negation of a condition."""

    part: "Condition"


@dataclass(frozen=True)
class Junction:
    """Conditions joined by `and` or `or`."""

    word: str
    parts: list["Condition"]


Condition = Comparison | Not | Junction


@dataclass(frozen=True)
class Order:
    """One sort key of ORDER BY."""

    by: Expression
    is_descending: bool = False
    is_nulls_last: bool = False


@dataclass(frozen=True)
class Item:
    """One selected expression, with its alias; empty without one."""

    expression: Expression
    alias: str = ""


@dataclass
class Query:
    """A parsed query.

    Attributes:
        sobject: The name of the object; for a child query, the name of the child relationship.
        alias: The object's alias; empty without one.
        items: The selected expressions.
        children: The selected child queries.
        where: The condition of WHERE; None without one.
        groups: The expressions of GROUP BY.
        having: The condition of HAVING; None without one.
        orders: The sort keys of ORDER BY.
        limit: The number of LIMIT; None without one.
        offset: The number of OFFSET.
    """

    sobject: str
    alias: str
    items: list[Item]
    children: list["Query"] = field(default_factory=list)
    where: Condition | None = None
    groups: list[Expression] = field(default_factory=list)
    having: Condition | None = None
    orders: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    @property
    def is_count(self) -> bool:
        """Return whether this is a `SELECT COUNT()`, which returns a number instead of rows."""
        return self.items == [Item(Expression("", "COUNT"))]

    @property
    def is_aggregate(self) -> bool:
        """Return whether the rows of the result are groups of records instead of records."""
        return bool(self.groups) or any(item.expression.is_aggregate for item in self.items)


def parse_soql(text: str) -> Query:
    """Parse a query.

    Raises:
        ApiError: MALFORMED_QUERY, with the unexpected token; NUMBER_OUTSIDE_VALID_RANGE, OFFSET is too large.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                _fail(f"unexpected character at {at}: {text[at:].lstrip()[:20]}")
            self._tokens.append((match.lastgroup or "", match.group(match.lastgroup or 0)))
            at = match.end()
        self._at = 0

    def parse(self) -> Query:
        query = self._parse_query()
        if self._at < len(self._tokens):
            _fail(f"unexpected token: {self._tokens[self._at][1]}")
        return query

    def _parse_query(self) -> Query:
        self._expect("select")
        items, children = list[Item](), list[Query]()
        while (not items and not children) or self._accept(","):
            if self._accept("("):
                children.append(self._parse_inner())
            else:
                items.append(Item(self._parse_expression(), self._take_alias()))
        self._expect("from")
        query = Query(self._take_path(), self._take_alias(), items, children)
        if self._accept("where"):
            query.where = self._parse_or()
        if self._accept("group"):
            self._expect("by")
            query.groups = [self._parse_expression()]
            while self._accept(","):
                query.groups.append(self._parse_expression())
            if self._accept("having"):
                query.having = self._parse_or()
        if self._accept("order"):
            self._expect("by")
            query.orders = [self._parse_order()]
            while self._accept(","):
                query.orders.append(self._parse_order())
        if self._accept("limit"):
            query.limit = self._take_count()
        if self._accept("offset"):
            query.offset = self._take_count()
        _check(query)
        return query

    def _parse_inner(self) -> Query:
        """Parse a query in brackets whose opening bracket was already read."""
        query = self._parse_query()
        self._expect(")")
        return query

    def _parse_expression(self) -> Expression:
        word = self._take_path()
        if not self._accept("("):
            return Expression(word)
        if word.upper() not in _FUNCTIONS:
            _fail(f"unexpected token: {word}")
        path = "" if word.upper() == "COUNT" and self._peek() == ")" else self._take_path()
        self._expect(")")
        return Expression(path, word.upper())

    def _parse_order(self) -> Order:
        by = self._parse_expression()
        is_descending = self._accept("desc")
        if not is_descending:
            self._accept("asc")
        is_nulls_last = False
        if self._accept("nulls"):
            is_nulls_last = self._accept("last")
            if not is_nulls_last:
                self._expect("first")
        return Order(by, is_descending, is_nulls_last)

    def _parse_or(self) -> Condition:
        return self._parse_junction("or")

    def _parse_junction(self, word: str) -> Condition:
        def parse_part() -> Condition:
            return self._parse_junction("and") if word == "or" else self._parse_not()

        parts = [parse_part()]
        while self._accept(word):
            parts.append(parse_part())
        return parts[0] if len(parts) == 1 else Junction(word, parts)

    def _parse_not(self) -> Condition:
        if self._accept("not"):
            return Not(self._parse_not())
        if self._accept("("):
            condition = self._parse_or()
            self._expect(")")
            return condition
        return self._parse_comparison()

    def _parse_comparison(self) -> Comparison:
        left = self._parse_expression()
        if self._accept("not"):
            self._expect("in")
            return Comparison(left, "not in", self._take_list())
        if self._accept("in"):
            return Comparison(left, "in", self._take_list())
        operator = self._take()[1].lower()
        if operator not in _OPERATORS:
            _fail(f"unexpected token: {operator}")
        span = self._take_span()
        if span is not None and operator == "like":
            _fail("a date literal cannot be compared by LIKE")
        return Comparison(left, "!=" if operator == "<>" else operator, span or self._take_literal())

    def _take_span(self) -> Span | None:
        """Return the date literal that comes next; None, without reading a token, if there is none."""
        kind, word = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        is_counted = self._tokens[self._at + 1 : self._at + 2] == [("sign", ":")]
        if kind != "word" or not (is_counted or parse_span(word, None)):
            return None
        self._at += 2 if is_counted else 1
        span = parse_span(word, self._take_count() if is_counted else None)
        if span is None:
            _fail(f"unexpected token: {word}")
        return span

    def _take_list(self) -> list[Literal] | Query:
        self._expect("(")
        if self._peek() == "select":
            return self._parse_inner()
        values = [self._take_literal()]
        while self._accept(","):
            values.append(self._take_literal())
        self._expect(")")
        return values

    def _take_literal(self) -> Literal:
        kind, text = self._take()
        if kind == "string":
            return _ESCAPE.sub(lambda match: _unescape(match.group(1)), text[1:-1])
        if kind in {"number", "date", "time"}:
            return text
        words: dict[str, Literal] = {"true": True, "false": False, "null": None}
        if kind != "word" or text.lower() not in words:
            _fail(f"unexpected token: {text}")
        return words[text.lower()]

    def _take_path(self) -> str:
        kind, text = self._take()
        if kind != "word":
            _fail(f"unexpected token: {text}")
        return text

    def _take_alias(self) -> str:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        return self._take_path() if kind == "word" and text.lower() not in _CLAUSES else ""

    def _take_count(self) -> int:
        kind, text = self._take()
        if kind != "number" or not text.isdigit() or len(text) > 9:
            _fail(f"unexpected token: {text}")
        return int(text)

    def _take(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            _fail("unexpected end of query")
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            return ""
        kind, text = self._tokens[self._at]
        return text.lower() if kind in {"word", "sign"} else ""

    def _accept(self, word: str) -> bool:
        if self._peek() != word:
            return False
        self._at += 1
        return True

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            token = self._tokens[self._at][1] if self._at < len(self._tokens) else "end of query"
            _fail(f"expecting {word.upper()}, found {token}")


def _check(query: Query) -> None:
    """Reject a query that has a valid syntax but breaks other rules of SOQL.

    Raises:
        ApiError: MALFORMED_QUERY; NUMBER_OUTSIDE_VALID_RANGE, OFFSET is too large.
    """
    if any(child.is_aggregate for child in query.children):
        _fail("a child query can't have GROUP BY or aggregate functions")
    if query.offset > MOST_OFFSET:
        raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MOST_OFFSET}")
    filters = _list_compared(query.where)
    if any(expression.is_aggregate for expression in filters):
        _fail("an aggregate is compared by HAVING, not by WHERE")
    if not query.is_aggregate:
        if any(item.alias for item in query.items):
            _fail("only aggregate expressions use field aliasing")
        if any(item.expression.function not in {"", "FIELDS"} for item in query.items):
            _fail("a function of a field is selected by queries that group by it")
        if any(order.by.is_aggregate for order in query.orders):
            _fail("only a grouped query is sorted by an aggregate")
        return
    if query.children:
        _fail("a grouped query has no child queries")
    if Expression("", "COUNT") in [item.expression for item in query.items] and not query.is_count:
        _fail("COUNT() must be the only element of the select list")
    grouped = {group.key for group in query.groups}
    used = [item.expression for item in query.items] + [order.by for order in query.orders]
    used += _list_compared(query.having)
    for expression in used:
        if not expression.is_aggregate and expression.key not in grouped:
            _fail(f"Field must be grouped or aggregated: {expression}")


def _list_compared(condition: Condition | None) -> list[Expression]:
    match condition:
        case Junction(_, parts):
            return [expression for part in parts for expression in _list_compared(part)]
        case Not(part):
            return _list_compared(part)
        case Comparison(left):
            return [left]
    return []


def _unescape(char: str) -> str:
    # An escaped wildcard stays escaped, so that LIKE does not use it as a wildcard.
    return "\\" + char if char in "%_" else _ESCAPES.get(char, char)


def _fail(problem: str) -> NoReturn:
    raise ApiError(400, "MALFORMED_QUERY", problem)
