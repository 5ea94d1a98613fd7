"""Read Salesforce records by query, when events were lost or are incomplete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from include.crm.changes.decoding import Change, read_row
from include.crm.query import read_pages
from include.crm.salesforce import SalesforceSession
from include.errors import ConfigurationError

_IDS_PER_QUERY = 100
_COMPOUND = ("address", "location")
_ALWAYS = ("Id", "IsDeleted", "SystemModstamp", "LastModifiedById")


class Records:
    """Reads the records of one object, including deleted ones. Call `describe` first: only the fields that it finds are read.

    Args:
        session: An open session.
        sobject: The object.
    """

    def __init__(self, session: SalesforceSession, sobject: str) -> None:
        self._session, self._sobject = session, sobject
        self._kinds: dict[str, str] = {}

    def describe(self) -> dict[str, str]:
        """Return the type of each field of the object that our user may read, without compound fields.

        Raises:
            ConfigurationError: We may not read the object.
        """
        answer = self._session.call("GET", f"/sobjects/{self._sobject}/describe")
        if not answer.is_ok:
            raise ConfigurationError(
                "Salesforce does not let our user read the object", sobject=self._sobject, code=answer.code
            )
        fields = {each["name"]: each["type"] for each in answer.body["fields"]}
        self._kinds = {name: kind for name, kind in fields.items() if kind not in _COMPOUND}
        return self._kinds

    def read_since(self, names: Sequence[str], since: datetime | None) -> Iterator[list[Change]]:
        """Read the records created, changed or deleted since a time, or all records if it is None.

        Args:
            names: The fields to read.
            since: The time, by Salesforce's clock.

        Yields:
            The records of one page, the oldest first.
        """
        where = f" WHERE SystemModstamp >= {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if since else ""
        yield from self._query(names, f"{where} ORDER BY SystemModstamp, Id")

    def read_ids(self, names: Sequence[str], ids: Sequence[str]) -> list[Change]:
        """Read records by id. Ids that no record has are left out."""
        changes: list[Change] = []
        for start in range(0, len(ids), _IDS_PER_QUERY):
            listed = ", ".join(f"'{each}'" for each in ids[start : start + _IDS_PER_QUERY] if each.isalnum())
            if listed:
                changes += [change for page in self._query(names, f" WHERE Id IN ({listed})") for change in page]
        return changes

    def find_newest(self) -> datetime | None:
        """Return the time of the object's newest change, by Salesforce's clock; None if the object has no record."""
        query = f"SELECT SystemModstamp FROM {self._sobject} ORDER BY SystemModstamp DESC LIMIT 1"  # noqa: S608
        records = next(read_pages(self._session, self._sobject, query, has_deleted=True))
        return datetime.fromisoformat(records[0]["SystemModstamp"]) if records else None

    def _query(self, names: Sequence[str], rest: str) -> Iterator[list[Change]]:
        fields = [name for name in names if name in self._kinds and name not in _ALWAYS]
        query = f"SELECT {', '.join([*_ALWAYS, *fields])} FROM {self._sobject}{rest}"  # noqa: S608
        for page in read_pages(self._session, self._sobject, query, has_deleted=True):
            yield [read_row(self._sobject, row, fields) for row in page]
