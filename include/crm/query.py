"""SOQL queries of a few records, read page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from include.crm.salesforce import DATA, SalesforceSession
from include.errors import ConfigurationError


def read_pages(
    session: SalesforceSession, sobject: str, query: str, *, has_deleted: bool = False
) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a query's result.

    Args:
        session: The session.
        sobject: The object, for errors.
        query: The query, in SOQL.
        has_deleted: Whether the result includes deleted records.

    Raises:
        ConfigurationError: Salesforce rejected the query.
        TargetUnavailable: Salesforce is unavailable.
    """
    path = f"/{'queryAll' if has_deleted else 'query'}?{urlencode({'q': query})}"
    while path:
        answer = session.call("GET", path)
        if not answer.is_ok:
            raise ConfigurationError("Salesforce rejected a query", sobject=sobject, code=answer.code)
        yield answer.body["records"]
        path = str(answer.body.get("nextRecordsUrl") or "").removeprefix(DATA)
