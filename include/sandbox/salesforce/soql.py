"""SOQL, the part that loads and checks need: one object, fields and parents' fields, conditions, order, limit, offset.

`SELECT a, Parent__r.b | COUNT() | COUNT(a) FROM X [WHERE ...] [ORDER BY a [ASC|DESC] [NULLS FIRST|LAST], ...]
[LIMIT n] [OFFSET n]`, with `=, !=, <>, <, <=, >, >=, LIKE, IN, NOT IN`, `AND`, `OR`, `NOT` and brackets.
"""

import re
from dataclasses import dataclass, field
from typing import NoReturn

from include.sandbox.salesforce.errors import ApiError

Literal = str | bool | None
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_][\w.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Comparison:
    """`path operator value`; the value is a list for `in` and `not in`."""

    path: str
    operator: str
    value: Literal | list[Literal]


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    part: "Condition"


@dataclass(frozen=True)
class Junction:
    """Conditions joined by `and` or `or`."""

    word: str
    parts: list["Condition"]


Condition = Comparison | Not | Junction


@dataclass(frozen=True)
class Order:
    """One key of the sort."""

    path: str
    is_descending: bool = False
    is_nulls_last: bool = False


@dataclass
class Query:
    """A parsed query; `count` is the counted path, `""` for `COUNT()`, None when fields are selected."""

    sobject: str
    paths: list[str]
    count: str | None = None
    where: Condition | None = None
    orders: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


def parse_soql(text: str) -> Query:
    """Parse a query.

    Raises:
        ApiError: MALFORMED_QUERY, naming what stands where something else was expected.
    """
    return _Parser(text).parse_query()


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

    def parse_query(self) -> Query:
        self._expect("select")
        paths, count = self._parse_select()
        self._expect("from")
        query = Query(self._take_path(), paths, count)
        if self._accept("where"):
            query.where = self._parse_or()
        if self._accept("order"):
            self._expect("by")
            query.orders = [self._parse_order()]
            while self._accept(","):
                query.orders.append(self._parse_order())
        if self._accept("limit"):
            query.limit = self._take_count()
        if self._accept("offset"):
            query.offset = self._take_count()
        if self._at < len(self._tokens):
            _fail(f"unexpected token: {self._tokens[self._at][1]}")
        return query

    def _parse_select(self) -> tuple[list[str], str | None]:
        path = self._take_path()
        if path.lower() == "count" and self._accept("("):
            counted = "" if self._peek() == ")" else self._take_path()
            self._expect(")")
            return [], counted
        paths = [path]
        while self._accept(","):
            paths.append(self._take_path())
        return paths, None

    def _parse_order(self) -> Order:
        path = self._take_path()
        is_descending = self._accept("desc")
        if not is_descending:
            self._accept("asc")
        is_nulls_last = False
        if self._accept("nulls"):
            is_nulls_last = self._accept("last")
            if not is_nulls_last:
                self._expect("first")
        return Order(path, is_descending, is_nulls_last)

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
        path = self._take_path()
        if self._accept("not"):
            self._expect("in")
            return Comparison(path, "not in", self._take_list())
        if self._accept("in"):
            return Comparison(path, "in", self._take_list())
        operator = self._take()[1].lower()
        if operator not in {"=", "!=", "<>", "<", "<=", ">", ">=", "like"}:
            _fail(f"unexpected token: {operator}")
        return Comparison(path, "!=" if operator == "<>" else operator, self._take_literal())

    def _take_list(self) -> list[Literal]:
        self._expect("(")
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

    def _take_count(self) -> int:
        kind, text = self._take()
        if kind != "number" or not text.isdigit():
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
            found = self._tokens[self._at][1] if self._at < len(self._tokens) else "end of query"
            _fail(f"expecting {word.upper()}, found {found}")


def _unescape(char: str) -> str:
    # A pattern's own wildcards stay escaped: LIKE needs to know them.
    return "\\" + char if char in "%_" else _ESCAPES.get(char, char)


def _fail(problem: str) -> NoReturn:
    raise ApiError(400, "MALFORMED_QUERY", problem)
