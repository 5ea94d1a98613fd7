"""Check the firm's systems in a task, which has their connections; see `include.check`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from include.check.report import OWN_PARTS, Finding, find_worst, record
from include.crm.salesforce import VENDOR
from include.errors import TributaryError
from include.vendors import VENDORS
from tributary import connections

if TYPE_CHECKING:
    from include.contract.webhook import Sender
    from include.gateway.webhooks.authenticity import Keyring

ALL = "all"
SYSTEMS = [OWN_PARTS, *(vendor.name for vendor in VENDORS), VENDOR]


def check(system: str, run_id: str, *, must_send_alert: bool) -> str:
    """Check one system, or all that are configured; store a report of each, and return a sentence about all of them.

    Args:
        system: A name of `SYSTEMS`, or `ALL`.
        run_id: Id of the run.
        must_send_alert: Whether to send a test alert.
    """
    if system == ALL:
        systems = [OWN_PARTS, *(name for name in SYSTEMS if name != OWN_PARTS and connections.is_connected(name))]
    else:
        systems = [system]
    return " ".join(_check_one(name, run_id, must_send_alert=must_send_alert) for name in systems)


def _check_one(system: str, run_id: str, *, must_send_alert: bool) -> str:
    try:
        findings = _find(system, run_id, must_send_alert=must_send_alert)
    except TributaryError as error:  # before the first call: a setting is wrong
        findings = [Finding("configuration", "red", str(error), "Correct the setting, and check again.")]
    record(connections.database(), system, run_id, findings)
    return f"{system}: {_summarize(findings)}."


def _find(system: str, run_id: str, *, must_send_alert: bool) -> list[Finding]:
    if system == OWN_PARTS:
        return _check_own_parts(must_send_alert=must_send_alert)
    if not connections.is_connected(system):
        return [
            Finding(
                "connection", "red", f"There is no connection {system}.", "Add it: see docs/reference/connections.md."
            )
        ]
    return _check_salesforce(run_id) if system == VENDOR else _check_vendor(system, run_id)


def _check_vendor(system: str, run_id: str) -> list[Finding]:
    from include.check.vendor import check_vendor
    from include.pipeline.run import Run

    return check_vendor(connections.vendor_run(system, Run.of_now(run_id)))


def _check_salesforce(run_id: str) -> list[Finding]:
    from include.check.salesforce import check_salesforce
    from include.crm.objects.portfolio import list_mappings
    from include.crm.run import Org

    settings = connections.crm_settings()
    org = Org(connections.session_database(), connections.connection(VENDOR), settings)
    return check_salesforce(org, list_mappings(settings), run_id)


def _check_own_parts(*, must_send_alert: bool) -> list[Finding]:
    from include.check.own_parts import OwnParts, check_own_parts
    from include.control.alerts import KINDS
    from include.gateway.webhooks.senders import SENDERS
    from include.keys.keyring import Keyring as FirmKeyring
    from include.pipeline.run import Site

    # Not `connections.site()`, which registers the keys, and fails if they differ from the registered ones.
    keyring = FirmKeyring.parse(connections.find_connection("tributary_keys").password or "")
    site = Site(connections.database(), connections.staging(), keyring)
    alerts = []
    if connections.is_connected("tributary_alerts"):
        alerts = list(dict.fromkeys(url for kind in KINDS for url in connections.alert_urls(kind)))
    webhooks_url = os.environ.get("TRIBUTARY_WEBHOOKS_URL", "")
    return check_own_parts(
        OwnParts(site, alerts, SENDERS, _read_secrets, webhooks_url, must_send_alert=must_send_alert)
    )


def _read_secrets(sender: Sender) -> Keyring:
    from include.gateway.webhooks.authenticity import Keyring

    if not connections.is_connected(sender.connection):
        return Keyring()
    known = connections.connection(sender.connection)
    return Keyring.of(known.password, known.extra.get("networks", ""))


def _summarize(findings: list[Finding]) -> str:
    """Return the worst state, what is red or amber, and how much was not checked, such as `red (login), 3 not checked`."""
    subjects = [finding.subject for state in ("red", "amber") for finding in findings if finding.state == state]
    more = f" ({', '.join(subjects[:5])}{', ...' if len(subjects) > 5 else ''})" if subjects else ""
    skipped = sum(finding.state == "grey" for finding in findings)
    return f"{find_worst(findings) if subjects else 'green'}{more}{f', {skipped} not checked' if skipped else ''}"
