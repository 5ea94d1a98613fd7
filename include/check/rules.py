"""List the active rules of an org that may reject the records of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from include.check.report import Findings
from include.crm.salesforce import SalesforceSession
from include.errors import TributaryError

_MOST_SHOWN = 8
_RULES = {
    "validation rules": (
        "/tooling/query",
        "select ValidationName, EntityDefinition.QualifiedApiName from ValidationRule where Active = true",
    ),
    "duplicate rules": ("/query", "select MasterLabel, SobjectType from DuplicateRule where IsActive = true"),
}


def list_rules(session: SalesforceSession, sobjects: set[str], findings: Findings) -> None:
    """List the active rules that may reject records; whether they do depends on each record."""
    for subject, (path, query) in _RULES.items():
        try:
            answer = session.call("GET", f"{path}?q={quote(query)}")
            rows = answer.body["records"] if answer.is_ok else None
            names = [] if rows is None else [name for row in rows if (name := _name_rule(row, sobjects))]
        except (TributaryError, KeyError, TypeError):
            rows, names = None, []
        if rows is None:
            findings.add(subject, "grey", "Not checked: the org does not show its rules to the integration user.")
        elif names:
            shown = ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
            findings.add(subject, "grey", f"Not checked: {len(names)} active rules may reject records: {shown}.")
        else:
            findings.add(subject, "green", "No rule is active on the objects that are loaded.")


def _name_rule(row: Mapping[str, Any], sobjects: set[str]) -> str:
    sobject = row.get("SobjectType") or (row.get("EntityDefinition") or {}).get("QualifiedApiName")
    return f"{sobject}: {row.get('ValidationName') or row.get('MasterLabel')}" if sobject in sobjects else ""
