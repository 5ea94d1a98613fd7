"""Check our own parts: the database and its roles, the keys, the staging folder, the alert addresses and the gateway."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from include import alerts
from include.check.report import Finding, Findings
from include.check.roles import check_roles
from include.check.watcher import compare_own_clocks
from include.check.webhook import check_webhook
from include.contract.webhook import Sender
from include.control.clocks import Clocks
from include.errors import TributaryError
from include.gateway.webhooks.authenticity import Keyring as SenderKeyring
from include.keys import register
from include.keys.keyring import Keyring
from include.pipeline.run import Site
from include.warehouse import schema

_FULL_RATIO = 0.8
"""Share (0-1) of the allowed connections from which their use is reported."""

_SERVER = sa.text(
    """
select current_setting('server_version') as version, current_setting('max_connections')::int as most,
       (select count(*) from pg_stat_activity where datname is not null) as used
""".replace("::", r"\:\:")
)
_USED = sa.text("""
select r.rolname as role, r.rolconnlimit as most, count(*) as used
from pg_roles r join pg_stat_activity a on a.usename = r.rolname where r.rolconnlimit > 0 group by 1, 2 order by 1
""")


@dataclass(frozen=True, slots=True)
class OwnParts:
    """The parts to check, apart from vendors and Salesforce.

    Attributes:
        site: The database, as the loading role, the staging folder and the keys; the keys need not be registered.
        alert_urls: Addresses of alerts; they hold secrets.
        senders: Senders of webhooks.
        read_secrets: Returns the secrets of a sender; none if it is not configured.
        webhooks_url: URL of the gateway's webhooks; empty if it is not known.
        must_send_alert: Whether to send a test alert.
    """

    site: Site
    alert_urls: Sequence[str] = field(default=(), repr=False)
    senders: Sequence[Sender] = ()
    read_secrets: Callable[[Sender], SenderKeyring] = lambda sender: SenderKeyring()
    webhooks_url: str = ""
    must_send_alert: bool = False


def check_own_parts(parts: OwnParts) -> list[Finding]:
    """Check our own parts; write nothing but one file in the staging folder, which is deleted again."""
    findings, site = Findings(), parts.site
    try:
        with site.engine.connect() as connection:
            _check_server(connection, findings)
            _check_keys(connection, site.keyring, findings)
            check_roles(connection, findings)
        compare_own_clocks(Clocks(site.engine, site.machine_clock), findings)
    except TributaryError as error:
        findings.add_error(
            "database", error, "Do what the error says; else correct the URL of the database, or start it."
        )
    except sa.exc.DBAPIError as error:
        text = f"The database refuses the check: {type(error.orig).__name__}."
        findings.add(
            "database", "red", text, "Run `python -m include.cli create-roles` and `migrate`, and check the URL."
        )
    _check_staging(site, findings)
    _check_alerts(parts, findings)
    for sender in parts.senders:
        try:
            check_webhook(sender, parts.read_secrets(sender), parts.webhooks_url, findings)
        except TributaryError as error:
            findings.add_error(f"webhook {sender.name}", error, f"Correct the connection {sender.connection}.")
    return findings.list()


def _check_server(connection: sa.Connection, findings: Findings) -> None:
    schema.require_version_of_schema(connection)
    server = connection.execute(_SERVER).one()
    findings.add("database", "green", f"PostgreSQL {server.version}; the schema is at its newest version.")
    pools = [
        ("all", server.most, server.used),
        *((each.role, each.most, each.used) for each in connection.execute(_USED)),
    ]
    full = [f"{used} of {most} ({name})" for name, most, used in pools if used > most * _FULL_RATIO]
    if full:
        findings.add(
            "database connections", "amber", f"Most of the allowed connections are in use: {', '.join(full)}.",
            "Find out which program holds them, or raise `max_connections`.",
        )  # fmt: skip
    else:
        findings.add("database connections", "green", f"{server.used} of {server.most} connections are in use.")


def _check_keys(connection: sa.Connection, keyring: Keyring, findings: Findings) -> None:
    """Compare the keyring with the fingerprints in the database, and register nothing."""
    registered = register.read(connection)
    purposes = {purpose for purpose, _ in registered}
    known = Keyring(key for key in keyring.keys if key.purpose in purposes)
    try:
        register.compare(known, registered)
    except TributaryError as error:
        findings.add_error(
            "keys", error, "Restore the keyring with which the database was written: see docs/reference/connections.md."
        )
        return
    new = sorted({key.purpose for key in keyring.keys} - purposes)
    more = f" The first run registers the keys of: {', '.join(new)}." if new else ""
    findings.add("keys", "green", f"{len(known.keys)} keys have the fingerprints that the database knows.{more}")


def _check_staging(site: Site, findings: Findings) -> None:
    name, content = f"check-{secrets.token_hex(8)}", secrets.token_bytes(64)
    folder = site.staging.folder(name)
    try:
        folder.write("probe", content)
        is_same = folder.read("probe") == content
        folder.remove()
        is_gone = not folder.has("probe")
    except (TributaryError, OSError) as error:
        text = (
            str(error) if isinstance(error, TributaryError) else f"The staging folder failed: {type(error).__name__}."
        )
        findings.add("staging", "red", text, "Correct the root, its options or its permissions in tributary_staging.")
        return
    if is_same and is_gone:
        findings.add("staging", "green", "A file was written, read back and deleted.")
    else:
        what = "was not deleted" if is_same else "was not read back as it was written"
        findings.add(
            "staging", "red", f"A file {what}.", f"Delete {name} in the staging root, and check what it is mounted on."
        )


def _check_alerts(parts: OwnParts, findings: Findings) -> None:
    count = len(parts.alert_urls)
    if not count:
        findings.add("alerts", "amber", "There is no address for alerts.", "Enter addresses in tributary_alerts.")
    elif not parts.must_send_alert:
        findings.add("alerts", "grey", f"Not checked: {count} address(es); ask for a test alert to check them.")
    else:
        try:
            alerts.send(
                parts.alert_urls, "Tributary: test alert", "A check before a run sent this alert. Nothing is wrong."
            )
        except (TributaryError, OSError) as error:
            text = (
                str(error)
                if isinstance(error, TributaryError)
                else f"The alert could not be written: {type(error).__name__}."
            )
            findings.add("alerts", "red", text, "Correct the addresses in tributary_alerts.")
        else:
            findings.add("alerts", "green", f"A test alert was sent to {count} address(es).")
