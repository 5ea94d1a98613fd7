"""Check the secret of a webhook's sender: send check deliveries to our own gateway, signed as the sender signs.

The gateway authenticates a check delivery like any other and stores nothing. So the check shows that the gateway is reachable and has the
same secret as the connection. It does not show which secret the vendor uses: only the vendor's own test delivery does.
"""

from __future__ import annotations

import secrets

import requests

from include.check.report import Findings
from include.connection import require_https
from include.contract.webhook import Sender
from include.errors import ConfigurationError
from include.gateway.webhooks.authenticity import Keyring, make_check
from include.gateway.webhooks.delivery import CHECK, VERIFIED

_TIMEOUT_S = (10, 20)


def check_webhook(sender: Sender, keyring: Keyring, webhooks_url: str, findings: Findings) -> None:
    """Add a finding about a sender: its secrets are accepted by the gateway, and another one is refused.

    Args:
        sender: The sender.
        keyring: The secrets of its connection.
        webhooks_url: URL that was entered at the vendors, without the sender's path, such as `https://host/webhooks`; empty if it is not known.
        findings: Receives the finding.
    """
    subject = f"webhook {sender.name}"
    if not keyring.secrets:
        findings.add(subject, "grey", f"Not checked: there is no connection {sender.connection} with the secrets.")
        return
    if not webhooks_url:
        findings.add(subject, "grey", "Not checked: TRIBUTARY_WEBHOOKS_URL is not set.")
        return
    url = f"{webhooks_url.rstrip('/')}/{sender.path}"
    try:
        require_https(url, "TRIBUTARY_WEBHOOKS_URL")
        answers = [_send(sender, url, secret) for secret in (*keyring.secrets, secrets.token_hex(16).encode())]
    except ConfigurationError as error:
        findings.add_error(subject, error, "Set TRIBUTARY_WEBHOOKS_URL to the gateway's https address.")
        return
    except requests.RequestException as error:
        findings.add(
            subject, "red", f"The gateway did not respond at {url}: {type(error).__name__}.",
            "Check TRIBUTARY_WEBHOOKS_URL, and whether the gateway runs.",
        )  # fmt: skip
        return
    _compare(subject, sender, answers, findings)


def _send(sender: Sender, url: str, secret: bytes) -> tuple[int, str]:
    """Send a check delivery; return the status, and the status word or the reason in the response."""
    headers = make_check(sender.proof).prove(CHECK, secret) | {"Content-Type": "application/json"}
    response = requests.post(url, data=CHECK, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False)
    try:
        body = response.json()
        return response.status_code, str(body.get("status") if response.ok else body.get("detail"))
    except (ValueError, AttributeError):
        return response.status_code, ""


def _compare(subject: str, sender: Sender, answers: list[tuple[int, str]], findings: Findings) -> None:
    *ours, (other, _) = answers
    refused = next(((status, text) for status, text in ours if (status, text) != (200, VERIFIED)), None)
    if refused is None and other == requests.codes.ok:
        findings.add(
            subject, "red", "The gateway also accepts a delivery with a wrong secret.",
            "Stop the gateway, and find out what answers at its address.",
        )  # fmt: skip
    elif refused is None:
        findings.add(
            subject, "green", f"The gateway accepts {len(ours)} secret(s) of {sender.connection}, and no other."
        )
    elif refused[0] == requests.codes.forbidden:
        findings.add(
            subject,
            "grey",
            "Not checked: the gateway accepts this sender only from the vendor's networks, and this machine is in none.",
        )
    elif refused[0] == requests.codes.ok:
        findings.add(
            subject, "red", "The gateway is of an older version, or something else answers at its address.", "Update the gateway, and check TRIBUTARY_WEBHOOKS_URL."
        )  # fmt: skip
    else:
        findings.add(
            subject, "red", f"The gateway refuses a delivery with the secret of {sender.connection} (HTTP {refused[0]}): {refused[1] or 'no reason'}.",
            "Give the gateway the same secrets as the connection, and enter them at the vendor: see docs/how-to/receiving_webhooks.md.",
        )  # fmt: skip
