"""The pages of checks: the newest report of each system, and the findings and history of one."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from include.check.report import OWN_PARTS, STATES, read_history, read_newest
from include.crm.salesforce import VENDOR
from include.vendors import VENDORS
from tributary import audit
from tributary.operations.page import HEADERS, show_page

TITLES = (
    {OWN_PARTS: "Tributary's own parts"} | {vendor.name: vendor.title for vendor in VENDORS} | {VENDOR: "Salesforce"}
)
"""System -> title, in the order of the page."""

router = APIRouter(prefix="/checks")


@router.get("")
def show_checks() -> HTMLResponse:
    """Return the list of all systems, each with its newest report."""
    with audit.database().connect() as db:
        reports = {report.system: report for report in read_newest(db)}
    return show_page("checks.html", "Checks", title="Checks before a run", titles=TITLES, reports=reports)


@router.get("/{system}")
def show_check(system: str) -> HTMLResponse:
    """Return the findings of a system's newest report, the worst first, and its earlier checks."""
    if system not in TITLES:
        raise HTTPException(404, "System not found", headers=HEADERS)
    with audit.database().connect() as db:
        report = next(iter(read_newest(db, system)), None)
        history = read_history(db, system)
    findings = sorted(report.findings, key=lambda finding: -STATES.index(finding.state)) if report else []
    return show_page(
        "check.html", "Checks", "../", title=f"Check of {TITLES[system]}", system=system, report=report, findings=findings, history=history
    )  # fmt: skip
