"""Check a connection: log in, and make one small call that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from include.connection import Connection
from include.contract import FanOut, Linked, Numbered, Offset, Positioned, Table
from include.control.calls import CallLog
from include.control.grants import Grants
from include.crm.salesforce import SalesforceSession
from include.errors import ConfigurationError
from include.extract.closed import read_closed_day
from include.extract.session import Request, VendorSession
from include.pipeline.pull import open_session
from include.pipeline.run import VendorRun

PATIENCE_S = 20.0
"""Number of seconds for which a call is retried: a person waits for the result."""


def check_vendor(vendor_run: VendorRun) -> str:
    """Log in to a vendor and make one call; return a sentence about the response.

    The call requests the last closed day if the vendor offers that, and otherwise the first page of the first table, with one row if the
    page size can be chosen. For a vendor with grants, the first grant is used. Both calls count against the rate budget.

    Raises:
        TributaryError: The login or the call failed; see `VendorSession.request`.
    """
    vendor = vendor_run.vendor
    with open_session(vendor_run, patience_s=PATIENCE_S, must_log_in=True) as session:
        if vendor.closed:
            return f"The login works. {vendor.title} has closed {read_closed_day(vendor, session) or 'no day yet'}."
        table = next(table for table in vendor.requested_tables if not table.parent)
        size = _request_row(session, table, vendor_run)
    return f"The login works. {vendor.title} returned {size:,} bytes of {table.name}."


def check_salesforce(connection: Connection, calls: CallLog) -> str:
    """Log in to Salesforce and read the org's limits; return a sentence about the response.

    Raises:
        TributaryError: The login or the call failed; see `SalesforceSession.call`.
    """
    with SalesforceSession(connection, calls, patience_s=PATIENCE_S) as session:
        answer = session.call("GET", "/limits")
    calls.flush()
    if not answer.is_ok:
        raise ConfigurationError(
            "Salesforce refused to return the org's limits", status=answer.status, code=answer.code
        )
    left = answer.body.get("DailyApiRequests", {}).get("Remaining")
    return f"The login works. {left:,} calls are left in the org today." if left is not None else "The login works."


def _request_row(session: VendorSession, table: Table, vendor_run: VendorRun) -> int:
    """Request the first row of a table, or its first page; return the number of bytes."""
    grant = _find_grant(vendor_run) if isinstance(table.shape, FanOut) else ""
    return session.request(Request(table.path, {**table.params, **_limit_page(table)}, grant=grant), len) or 0


def _find_grant(vendor_run: VendorRun) -> str:
    site, name = vendor_run.site, vendor_run.vendor.name
    firsts = Grants.of(site.engine, name, site.keyring.sealer, vendor_run.connection.extra).firsts
    if not firsts:
        raise ConfigurationError("The vendor's connection has no grants", vendor=name)
    return min(firsts)


def _limit_page(table: Table) -> Mapping[str, str]:
    """Return the parameters that request the first page with one row."""
    match table.shape:
        case Offset(order):
            return {"$top": "1", "$skip": "0", "$orderby": order}
        case Numbered(page, size):
            return {page: "1", size: "1"}
        case Positioned(start, size):
            return {start: "0", size: "1"}
        case Linked(size=size):
            return {size: "1"}
    return {}
