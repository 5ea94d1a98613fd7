"""The command that checks the connections, our own parts and the Salesforce org before a run."""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from include.cli.command import (
    KEYS,
    LOAD,
    STAGING,
    Commands,
    add_command,
    open_database,
    open_staging,
    read_keyring,
)
from include.cli.connections import CONNECTIONS, is_connected, read_connection, read_org
from include.errors import ConfigurationError, TributaryError

if TYPE_CHECKING:
    from include.check.report import Finding
    from include.contract.webhook import Sender
    from include.gateway.webhooks.authenticity import Keyring
    from include.pipeline.run import Site

WEBHOOKS, _ALERTS = "TRIBUTARY_WEBHOOKS_URL", "tributary_alerts"


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    purpose = "check connections, our own parts and Salesforce; print the findings; exit with 1 if any is red"
    check = add_command(commands, "check", _check, purpose, LOAD, KEYS, STAGING, CONNECTIONS, WEBHOOKS)
    check.add_argument(
        "--system", action="append", default=[], metavar="NAME",
        help="a vendor, salesforce, or tributary (our own parts); may be repeated. Without it, all that are configured",
    )  # fmt: skip
    check.add_argument("--send-alert", action="store_true", help="also send a test alert to every address")
    check.add_argument(
        "--sample",
        metavar="FILE",
        help="a vendor's sample of a table, JSON or CSV: only propose settings or a declaration",
    )
    check.add_argument("--table", default="", help="the table of the sample")


def _check(arguments: argparse.Namespace) -> int:
    from include.check import report
    from include.cli.sample import print_proposal

    if arguments.sample:
        system = arguments.system[0] if len(arguments.system) == 1 else ""
        print_proposal(arguments.sample, system, arguments.table)
        return 0
    site, run_id = _open_site(), f"check-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    worst = "green"
    for system in arguments.system or _list_systems():
        findings = _check_system(site, system, run_id, must_send_alert=arguments.send_alert)
        report.record(site.engine, system, run_id, findings)
        _print(system, findings)
        worst = max(worst, report.find_worst(findings), key=report.STATES.index)
    return 1 if worst == "red" else 0


def _list_systems() -> list[str]:
    from include.check.report import OWN_PARTS
    from include.crm.salesforce import VENDOR
    from include.vendors import VENDORS

    return [OWN_PARTS, *(name for name in (*(vendor.name for vendor in VENDORS), VENDOR) if is_connected(name))]


def _open_site() -> Site:
    from include.pipeline.run import Site

    keyring = read_keyring()
    return Site(open_database(LOAD), open_staging(keyring), keyring)


def _check_system(site: Site, system: str, run_id: str, *, must_send_alert: bool) -> list[Finding]:
    """Check one system. An error before its checks becomes a finding, so that the other systems are still checked."""
    from include.check.report import OWN_PARTS, Finding
    from include.crm.salesforce import VENDOR

    try:
        if system == OWN_PARTS:
            return _check_own_parts(site, must_send_alert=must_send_alert)
        if system == VENDOR:
            return _check_salesforce(site, run_id)
        return _check_vendor(site, system, run_id)
    except TributaryError as error:
        return [Finding("configuration", "red", str(error), "Correct the setting, and check again.")]


def _check_salesforce(site: Site, run_id: str) -> list[Finding]:
    from include.check.salesforce import check_salesforce
    from include.crm.objects.portfolio import list_mappings

    org = read_org(site.engine)
    return check_salesforce(org, list_mappings(org.settings), run_id)


def _check_own_parts(site: Site, *, must_send_alert: bool) -> list[Finding]:
    from include.check.own_parts import OwnParts, check_own_parts
    from include.firm.folder import in_force
    from include.gateway.webhooks.senders import SENDERS

    routed = (name for names in in_force().routes.values() for name in names)
    known = dict.fromkeys(name for name in (_ALERTS, *routed) if is_connected(name))
    urls = list(dict.fromkeys(url for name in known for url in read_connection(name).password.split()))
    webhooks_url = os.environ.get(WEBHOOKS, "")
    return check_own_parts(OwnParts(site, urls, SENDERS, _read_secrets, webhooks_url, must_send_alert=must_send_alert))


def _read_secrets(sender: Sender) -> Keyring:
    """Return the secrets of a sender: those of its connection or, without one, those in the settings of the gateway's process."""
    from include.gateway.settings import read_keyring as read_settings
    from include.gateway.webhooks.authenticity import Keyring

    if not is_connected(sender.connection):
        return read_settings(sender)
    known = read_connection(sender.connection)
    return Keyring.of(known.password, known.extra.get("networks", ""))


def _check_vendor(site: Site, system: str, run_id: str) -> list[Finding]:
    from include.check.vendor import check_vendor
    from include.keys import register
    from include.pipeline.run import Run, VendorRun
    from include.vendors import VENDORS, named

    if system not in [vendor.name for vendor in VENDORS]:
        known = ", ".join(vendor.name for vendor in VENDORS)
        raise ConfigurationError("Unknown system", system=system, known=known)
    register.check(site.engine, site.keyring)
    run = Run.of_now(run_id)
    return check_vendor(VendorRun(site, named(system), read_connection(system), run))


def _print(system: str, findings: list[Finding]) -> None:
    for finding in findings:
        action = f" -> {finding.action}" if finding.action else ""
        sys.stdout.write(f"{finding.state:<5}  {system}  {finding.subject}: {finding.detail}{action}\n")
