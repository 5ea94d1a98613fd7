"""Compare an org with the mapping in force, and render the metadata that the org lacks. Nothing is written to the org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.check.report import Finding
from include.check.salesforce import Describe, check_salesforce
from include.crm.deployment import render_changed
from include.crm.objects.mapping import CrmObject
from include.crm.run import Org


@dataclass(frozen=True, slots=True)
class OrgPlan:
    """The differences between an org and the mapping, with the metadata that removes them.

    Attributes:
        findings: The findings of the check; those that are not green differ from the mapping.
        files: The metadata to deploy, by path below the folder to deploy.
    """

    findings: list[Finding]
    files: Mapping[str, str]


def plan_org(org: Org, mappings: Sequence[CrmObject], run_id: str) -> OrgPlan:
    """Compare an org with the mapping in force; return the findings and the metadata to deploy.

    Args:
        org: The connection, the settings and the database.
        mappings: The mapping in force.
        run_id: Id of the run, for the log of calls.
    """
    describes: dict[str, Describe] = {}
    findings = check_salesforce(org, mappings, run_id, describes)
    known = {
        name: {
            field["name"]: int(field["length"] or 0) if field["type"] in ("string", "textarea") else 0
            for field in describe["fields"]
        }
        for name, describe in describes.items()
    }
    # Without a description, as after a failed login, nothing is known to be missing.
    return OrgPlan(findings, render_changed(mappings, known, org.settings.shape) if describes else {})
