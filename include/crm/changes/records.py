"""Records of Salesforce read again by query, where events were lost or don't tell enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from include.crm.changes.decoding import Change, read_row
from include.crm.salesforce import DATA, SalesforceSession
from include.errors import ConfigurationError

_IDS_ASKED = 100
_COMPOUND = ("address", "location")
_ALWAYS = ("Id", "IsDeleted", "SystemModstamp", "LastModifiedById")


class Records:
    """Reads the records of one object, deleted ones too.

    Args:
        session: An open session.
        sobject: The object.
    """

    def __init__(self, session: SalesforceSession, sobject: str) -> None:
        self._session, self._sobject = session, sobject
        self._kinds: dict[str, str] = {}

    def describe(self) -> dict[str, str]:
        """Returns the object's fields that we may read, and their types.

        Raises:
            ConfigurationError: We may not see the object.
        """
        answer = self._session.call("GET", f"/sobjects/{self._sobject}/describe")
        if not answer.is_ok:
            raise ConfigurationError("Salesforce does not show us an object", sobject=self._sobject, code=answer.code)
        fields = {each["name"]: each["type"] for each in answer.body["fields"]}
        self._kinds = {name: kind for name, kind in fields.items() if kind not in _COMPOUND}
        return self._kinds

    def read_since(self, names: Sequence[str], since: datetime | None) -> Iterator[list[Change]]:
        """Reads what was made, changed or deleted since a time (None: all there is), a page at a time, the oldest first."""
        where = f" WHERE SystemModstamp >= {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if since else ""
        yield from self._ask(names, f"{where} ORDER BY SystemModstamp, Id")

    def read_ids(self, names: Sequence[str], ids: Sequence[str]) -> list[Change]:
        """Reads single records."""
        found: list[Change] = []
        for start in range(0, len(ids), _IDS_ASKED):
            listed = ", ".join(f"'{each}'" for each in ids[start : start + _IDS_ASKED] if each.isalnum())
            if listed:
                found += [change for page in self._ask(names, f" WHERE Id IN ({listed})") for change in page]
        return found

    def find_newest(self) -> datetime | None:
        """Returns when anything of the object was changed last, by Salesforce's clock."""
        found = next(self._pages(f"SELECT SystemModstamp FROM {self._sobject} ORDER BY SystemModstamp DESC LIMIT 1"))  # noqa: S608
        return datetime.fromisoformat(found[0]["SystemModstamp"]) if found else None

    def _ask(self, names: Sequence[str], rest: str) -> Iterator[list[Change]]:
        fields = [name for name in names if name in self._kinds and name not in _ALWAYS]
        asked = f"SELECT {', '.join([*_ALWAYS, *fields])} FROM {self._sobject}{rest}"  # noqa: S608
        for page in self._pages(asked):
            yield [read_row(self._sobject, row, fields) for row in page]

    def _pages(self, asked: str) -> Iterator[list[dict[str, Any]]]:
        path = f"/queryAll?{urlencode({'q': asked})}"
        while path:
            answer = self._session.call("GET", path)
            if not answer.is_ok:
                raise ConfigurationError("Salesforce refuses a query", sobject=self._sobject, code=answer.code)
            yield answer.body["records"]
            path = str(answer.body.get("nextRecordsUrl") or "").removeprefix(DATA)
