"""Bulk API 2.0 queries, whose results are read page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from include.crm.salesforce import SalesforceSession
from include.errors import ConfigurationError, TargetUnavailable

PAGE_ROWS = 50_000
"""Rows per page of a query's results."""

_LONGEST_QUERY_S = 3600.0
_FASTEST_POLL_S, _SLOWEST_POLL_S = 0.1, 10.0


class BulkQuery:
    """A query of all records that match, including deleted ones.

    Args:
        session: The session.
        sobject: The object, for errors.
        query: The query, in SOQL.

    Attributes:
        rows: The number of rows of the result.

    Raises:
        ConfigurationError: Salesforce rejected the query, or it failed.
        TargetUnavailable: Salesforce is unavailable, or the query does not end.
    """

    def __init__(self, session: SalesforceSession, sobject: str, query: str) -> None:
        self._session, self._sobject = session, sobject
        answer = session.call("POST", "/jobs/query", {"operation": "queryAll", "query": query})
        if not answer.is_ok:
            raise ConfigurationError(
                f"Salesforce rejected a query; check that the integration user may read the object and its fields: {answer.message}",
                sobject=sobject,
                status=answer.status,
                code=answer.code,
            )
        self._job = str(answer.body["id"])
        self.rows = self._wait()

    def read(self, take: Callable[[Iterator[bytes]], object]) -> None:
        """Read the result.

        Args:
            take: Receives each page, a CSV file with a header, in pieces. If Salesforce fails within a page, it is called again with the
                whole page, so it must store a page completely or not at all.
        """
        locator = ""
        while locator != "null":
            path = f"/jobs/query/{self._job}/results?maxRecords={PAGE_ROWS}"
            path += f"&locator={locator}" if locator else ""
            locator = self._session.persist(lambda path=path: self._read_page(path, take))  # type: ignore[misc]

    def require_all(self, read: int) -> None:
        """Raise `TargetUnavailable` if the number of rows that were read is not that of the result."""
        if read != self.rows:
            raise TargetUnavailable(
                "The results of a query are incomplete", sobject=self._sobject, job=self._job, rows=self.rows, read=read
            )

    def _read_page(self, path: str, take: Callable[[Iterator[bytes]], object]) -> str:
        """Read a page; return the locator of the next one, or the text `null` after the last."""
        with self._session.stream(path) as (pieces, headers):
            take(pieces)
            return headers.get("Sforce-Locator", "null")

    def _wait(self) -> int:
        """Wait until the query has completed; return its number of rows."""
        pause, until = _FASTEST_POLL_S, time.monotonic() + _LONGEST_QUERY_S
        while time.monotonic() < until:
            body = self._session.call("GET", f"/jobs/query/{self._job}").body
            if body["state"] == "JobComplete":
                return int(body["numberRecordsProcessed"])
            if body["state"] in ("Failed", "Aborted"):
                raise ConfigurationError(
                    f"Salesforce could not complete a query: {body.get('errorMessage')}",
                    sobject=self._sobject,
                    job=self._job,
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _SLOWEST_POLL_S)
        raise TargetUnavailable("Salesforce did not finish a query in time", sobject=self._sobject, job=self._job)
