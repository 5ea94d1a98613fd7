"""Check a vendor's connection: certificate, login, clock, rate limits, and a sample of each table against its declaration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from include.check import compare
from include.check.certificate import check_certificate
from include.check.report import Finding, Findings
from include.check.sample import TableSample, open_staging, pull_samples, shorten
from include.check.watcher import Watcher, compare_clocks
from include.contract import FanOut, Vendor
from include.contract.overrides import ignores_clock
from include.control.clocks import Clocks
from include.errors import AuthenticationError, ConfigurationError, SchemaDrift, TributaryError
from include.extract.closed import read_closed_day
from include.extract.session import VendorSession
from include.extract.source import Keys
from include.pipeline.pull import list_grants, open_session
from include.pipeline.run import VendorRun

PATIENCE_S = 20.0
"""Seconds for which a call is retried: a person waits for the result."""
_FORBIDDEN = 403


def check_vendor(vendor_run: VendorRun) -> list[Finding]:
    """Check a vendor's connection and its tables; write nothing but the log of calls, the rate budget and the vendor's next refresh token."""
    findings, connection = Findings(), vendor_run.connection
    urls = dict.fromkeys((connection.url, connection.extra.get("token_url", "")))
    are_valid = [check_certificate(url, findings) for url in urls]
    if not all(are_valid):
        return findings.list()
    vendor, watcher = shorten(vendor_run.vendor), Watcher()
    try:
        session = open_session(vendor_run, patience_s=PATIENCE_S, must_log_in=True, observe=watcher.observe)
    except TributaryError as error:
        findings.add_error("connection", error, "Correct the connection: see docs/reference/connections.md.")
        return findings.list()
    with session:
        grants = _log_in(vendor_run, session, findings)
        if grants is not None:
            _check_tables(vendor_run, vendor, session, watcher, grants, findings)
    if watcher.seconds:
        site = vendor_run.site
        is_trusted = not ignores_clock(connection.extra)
        compare_clocks(
            Clocks(site.engine, site.machine_clock), watcher.read_clock(), findings, is_vendor_trusted=is_trusted
        )
        watcher.report(vendor, findings)
    return findings.list()


def _log_in(vendor_run: VendorRun, session: VendorSession, findings: Findings) -> list[Keys] | None:
    """Log in, once per grant if the vendor has grants; return the grants whose login works. None: no login works."""
    has_grants = any(isinstance(each.shape, FanOut) and not each.parent for each in vendor_run.vendor.requested_tables)
    try:
        grants: list[Keys] = list_grants(vendor_run) if has_grants else [{}]
    except ConfigurationError as error:
        findings.add_error("login", error, "Add `grants` to the connection's extra.")
        return None
    working = []
    for grant in grants:
        name = grant.get("grant", "")
        try:
            session.log_in(name)
        except TributaryError as error:
            _add_login_error(f"login {name}".rstrip(), error, findings)
        else:
            findings.add(f"login {name}".rstrip(), "green", "The login works.")
            working.append(grant)
    return working or None


def _add_login_error(subject: str, error: TributaryError, findings: Findings) -> None:
    action = (
        "Correct the credentials of the connection, or let the vendor's user authorize Tributary again."
        if isinstance(error, AuthenticationError)
        else "Correct the connection, or try again if the vendor is not available."
    )
    findings.add_error(subject, error, action)


def _check_tables(
    vendor_run: VendorRun,
    vendor: Vendor,
    session: VendorSession,
    watcher: Watcher,
    grants: Sequence[Keys],
    findings: Findings,
) -> None:
    samples: list[TableSample] = []
    with open_staging(vendor_run) as staging:
        day = _check_closed_day(vendor_run, session, findings)
        if day is None:
            return

        for sample in pull_samples(vendor_run, vendor, session, staging, day, grants, watcher.begin):
            if _is_login_error(sample.error):
                assert sample.error is not None
                _add_login_error("login", sample.error, findings)
                return
            samples.append(sample)
        _compare(vendor, samples, watcher, findings)
    for table in vendor.tables:
        if table not in vendor.requested_tables:
            findings.add(table.name, "grey", "Not checked: its rows arrive only by webhook.")


def _check_closed_day(vendor_run: VendorRun, session: VendorSession, findings: Findings) -> date | None:
    """Return the last day that the vendor has closed, or the run's if the vendor states none; None if the login is refused."""
    if not vendor_run.vendor.closed:
        return vendor_run.run.business_date
    try:
        closed = read_closed_day(vendor_run.vendor, session)
    except TributaryError as error:
        if _is_login_error(error):
            _add_login_error("login", error, findings)
            return None
        findings.add_error(
            "closed day", error, "Correct the path `closed` in the connection's extra, or ask the vendor."
        )
        return vendor_run.run.business_date
    findings.add("closed day", "green", f"The vendor has closed {closed or 'no day yet'}.")
    return closed or vendor_run.run.business_date


def _is_login_error(error: TributaryError | None) -> bool:
    """Return whether the credentials are wrong, rather than the rights of one table."""
    return isinstance(error, AuthenticationError) and error.facts.get("status") != _FORBIDDEN


def _compare(vendor: Vendor, samples: Sequence[TableSample], watcher: Watcher, findings: Findings) -> None:
    from include.validation.check import validate_day

    for sample in samples:
        name = sample.table.name
        if sample.error:
            drift = sample.error if isinstance(sample.error, SchemaDrift) else None
            if drift is None or not compare.compare_header(sample.table, drift, findings):
                findings.add_error(name, sample.error, _advise(sample.error))
        elif sample.partition is None:
            findings.add(name, "grey", f"Not checked: {sample.skipped}.")
        elif not sample.partition.manifest.fetched:
            findings.add(name, "grey", "Not checked: the vendor returned no rows.")
        else:
            findings.add(name, "green", compare.describe(sample, watcher.seconds[name], watcher.bytes[name]))
            compare.compare_fields(sample.table, sample.missing, sample.partition.manifest.undeclared, findings)
            compare.compare_rows(sample, findings)
            _compare_page(sample, findings)
    staged = {each.table.name: each.partition for each in samples if each.partition and each.partition.manifest.staged}
    for name, partition in staged.items():
        try:
            outcomes = validate_day(vendor, {name: partition}, {}, rows_only=True)
        except ConfigurationError as error:
            findings.add_error(name, error, "Correct the table's suite in great_expectations/.")
        else:
            compare.compare_suite(vendor.table(name), outcomes[name], findings)


def _compare_page(sample: TableSample, findings: Findings) -> None:
    """Add a finding if the vendor ignores the requested page size."""
    assert sample.partition is not None
    rows = sample.partition.manifest.fetched
    if sample.page_rows and rows > sample.page_rows:
        findings.add(
            f"{sample.table.name} page", "amber", f"The vendor returned {rows:,} rows for a page of {sample.page_rows}: it ignores the page size.",
            "Compare the parameter of the page size in the vendor's file with the vendor's documentation.",
        )  # fmt: skip


def _advise(error: TributaryError) -> str:
    if isinstance(error, AuthenticationError):
        return "Give the connection's user, or its grant, the right or scope to read this table at the vendor."
    if isinstance(error, ConfigurationError):
        return "Set `paths` in the connection's extra, or correct the table in the vendor's file."
    return "Try again; if it persists, ask the vendor about this call."
