"""A query to one of Orion's lists: check the parameters, then filter and sort the rows."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from sandbox.orion.fields import ACCOUNT_VALUE
from sandbox.orion.routes import Route
from sandbox.orion.rows import CENTRAL
from sandbox.server.rows import MISSING, Rows, Source

Test = Callable[[tuple[Any, ...]], bool]


class BadQuery(Exception):
    """Raised for an invalid or undocumented query. The response is 400 with this message."""


def parse_day(text: str) -> date:
    """Parse a day in a documented format: 05/28/2025, 05-28-2025, 2025-05-28, or a timestamp.

    Raises:
        BadQuery: the text is not a day.
    """
    if match := re.fullmatch(r"(\d\d)[/-](\d\d)[/-](\d{4})", text):
        month, day, year = match.groups()
        text = f"{year}-{month}-{day}"
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise BadQuery(f"{text!r} is not a date") from None


def parse_moment(text: str) -> datetime:
    """Parse a parameter that is a timestamp, or a day (which means its midnight). Without an offset it is US Central time.

    Raises:
        BadQuery: the text is neither a timestamp nor a day.
    """
    try:
        return read_moment(text.replace(" ", "+"))  # a bare + in a query string arrives as a space
    except ValueError:
        return read_moment(parse_day(text).isoformat())


def read_moment(text: str) -> datetime:
    """Parse the timestamp in a row. Without an offset it is US Central time.

    Raises:
        ValueError: the text is not a timestamp.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=CENTRAL)


def _parse_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise BadQuery(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _parse_int(text: str) -> int:
    if not text.isdecimal():
        raise BadQuery(f"{text!r} is not a number")
    return int(text)


@dataclass(frozen=True)
class Query:
    """The parameters of one call to a list.

    `values` has the values by parameter name in lower case. `path_day` is the day in the path, if there is one.

    Raises:
        BadQuery: a parameter is undocumented, not supported by the sandbox, or given twice.
    """

    route: Route
    values: Mapping[str, list[str]]
    path_day: date | None = None

    def __post_init__(self) -> None:
        for name, values in self.values.items():
            if name in self.route.unmodelled:
                raise BadQuery(f"parameter {name!r} is documented but not supported by this sandbox")
            if name not in self.route.documented:
                raise BadQuery(f"parameter {name!r} is not documented for this list")
            if len(values) > 1 and name not in self.route.repeated:
                raise BadQuery(f"parameter {name!r} is given twice")
        if self.get("returnstyle", "Standard") != "Standard":
            raise BadQuery("this sandbox supports only returnStyle=Standard")

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a parameter, or the default if the query does not have it."""
        return self.values[name][0] if name in self.values else default

    @property
    def as_of(self) -> date | None:
        """Return the requested day, from the query or the path; None if there is none."""
        return parse_day(self.get("asofdate")) if "asofdate" in self.values else self.path_day

    @property
    def has_cost(self) -> bool:
        """Return whether the query requests the cost of positions. Without the request, `costBasis` is null."""
        return self.get("includecostbasis").lower() == "true"

    @property
    def page(self) -> tuple[int, int | None]:
        """Return the number of rows to skip, and the maximum number of rows to return (None for all)."""
        top, skip = (self.get(f"${name}") or self.get(name) for name in ("top", "skip"))
        return _parse_int(skip or "0"), _parse_int(top) if top else None

    def select_rows(self, source: Source) -> Rows:
        """Return all rows that match the filters, in the requested order, without paging."""
        rows = self._read(source)
        values, position = rows.values, rows.positions()
        for test in self._list_tests(position, source):
            values = [row for row in values if test(row)]
        return Rows(rows.fields, self._order(list(values), position))

    def _read(self, source: Source) -> Rows:
        if self.route.table != "account_values":
            return source.find_rows(self.route.table, self.as_of)
        rows = source.find_rows("accounts", self.as_of)
        fields = {"value": "currentValue", "cashValue": "cashBalance"}
        places = [rows.fields.index(fields.get(name, name)) for name in ACCOUNT_VALUE.fields]
        return Rows(ACCOUNT_VALUE.fields, [tuple([row[i] for i in places]) for row in rows.values])

    def _list_tests(self, position: Mapping[str, int], source: Source) -> Iterator[Test]:
        for name, field in self.route.filters.items():
            if name in self.values and not (name == "clientid" and self.route.table == "accounts"):
                yield _is_one_of(position[field], self.values[name])
        for name, (account_field, own_field) in self.route.through_accounts.items():
            if name in self.values:
                accounts = source.find_rows("accounts")
                at = accounts.positions()
                ids = {
                    str(row[at[own_field]]) for row in accounts.values if str(row[at[account_field]]) == self.get(name)
                }
                yield _is_one_of(position["id"], list(ids))
        if self.route.table == "accounts" and "clientid" in self.values:
            yield self._belongs_to_clients(position, source)
        if "hasvalue" in self.values:
            yield self._has_value(position)
        if "isused" in self.values:
            used, at_count = _parse_bool(self.get("isused")), position["households"]
            yield lambda row: bool(_read_value(row, at_count)) == used
        if "createddatestart" in self.values:
            yield _is_since(position["createdDate"], parse_moment(self.get("createddatestart")))
        if "editedstartdate" in self.values:
            yield _is_since(position["editedDate"], parse_moment(self.get("editedstartdate")))
        if "editedenddate" in self.values:
            yield _is_until(position["editedDate"], parse_moment(self.get("editedenddate")))
        yield from self._list_trade_date_tests(position)

    def _list_trade_date_tests(self, position: Mapping[str, int]) -> Iterator[Test]:
        if "startdate" in self.values:
            first, at = parse_day(self.get("startdate")).isoformat(), position["transDate"]
            yield lambda row: (_read_value(row, at) or "")[:10] >= first
        if "enddate" in self.values:
            last, at_date = parse_day(self.get("enddate")).isoformat(), position["transDate"]
            yield lambda row: (_read_value(row, at_date) or "")[:10] <= last

    def _belongs_to_clients(self, position: Mapping[str, int], source: Source) -> Test:
        clients, extra = set(self.values["clientid"]), set[int]()
        if _parse_bool(self.get("includeadditionalaccounts", "false")):
            extra = {id_ for client in clients for id_ in source.find_additional_accounts(_parse_int(client))}
        at_client, at_id = position["clientId"], position["id"]
        return lambda row: str(row[at_client]) in clients or row[at_id] in extra

    def _has_value(self, position: Mapping[str, int]) -> Test:
        has_value = _parse_bool(self.get("hasvalue"))
        at = next(position[name] for name in ("currentValue", "value", "aum") if name in position)
        return lambda row: bool(_read_value(row, at)) == has_value

    def _order(self, rows: list[tuple[Any, ...]], position: Mapping[str, int]) -> list[tuple[Any, ...]]:
        """Sort rows by `$orderby`.

        Without it, the documentation promises no order. The order is then descending by id, so that callers cannot rely on
        ascending ids.
        """
        order = self.get("$orderby")
        if not order:
            return rows[::-1]
        for part in reversed(order.split(",")):
            name, _, direction = part.strip().partition(" ")
            at = position.get(self.find_field(name, position))
            if at is None or direction.lower() not in ("", "asc", "desc"):
                raise BadQuery(f"cannot order by {part!r}")
            rows.sort(key=partial(_rank, at), reverse=direction.lower() == "desc")
        return rows

    def find_field(self, name: str, position: Mapping[str, int]) -> str:
        """Return the field that an OData property name means. Property names are in Pascal case; case is ignored.

        Raises:
            BadQuery: the object has no such property.
        """
        for field in position:
            if field.lower() == name.lower():
                return field
        raise BadQuery(f"there is no property {name!r}")

    def list_selected(self, rows: Rows) -> list[str]:
        """Return the fields that `$select` names, by default all."""
        selected, position = self.get("$select"), rows.positions()
        return [self.find_field(n.strip(), position) for n in selected.split(",")] if selected else list(rows.fields)


def _is_one_of(at: int, values: list[str]) -> Test:
    lowered = {value.lower() for value in values}
    return lambda row: str(row[at]).lower() in lowered


def _is_since(at: int, start: datetime) -> Test:
    """Return a test for rows dated `start` or later. A row without a date passes, because it may be later."""
    return lambda row: _read_value(row, at) is None or read_moment(row[at]) >= start


def _is_until(at: int, end: datetime) -> Test:
    return lambda row: _read_value(row, at) is None or read_moment(row[at]) <= end


def _rank(at: int, row: tuple[Any, ...]) -> tuple[bool, Any]:
    """Return the sort key of a row. Rows without a value come first."""
    value = _read_value(row, at)
    return value is not None, value


def _read_value(row: tuple[Any, ...], at: int) -> Any:
    """Return the value at index `at` of a row; None if it is null or missing."""
    return None if row[at] is MISSING else row[at]
