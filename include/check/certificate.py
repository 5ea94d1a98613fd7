"""Check the TLS certificate of a host: that it is valid, and for how long."""

from __future__ import annotations

import os
import socket
import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from include.check.report import Findings

_TIMEOUT_S = 10
_SOON_DAYS = 14


def check_certificate(url: str, findings: Findings) -> bool:
    """Add a finding about the certificate of a URL's host; return whether a TLS connection is possible.

    A host without https has no certificate; the session itself refuses http, except on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return True
    subject = f"certificate {parts.hostname}"
    trusted = os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    context = ssl.create_default_context(cafile=trusted)
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 443), _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
        ):
            certificate = connection.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        findings.add(
            subject, "red", f"The certificate is not valid: {error.verify_message}.",
            "Ask the owner of the host to renew it; if it is signed by an authority of your own, set REQUESTS_CA_BUNDLE.",
        )  # fmt: skip
        return False
    except OSError as error:
        findings.add(
            subject, "red", f"No TLS connection to {parts.hostname}: {type(error).__name__}.",
            "Check the host of the connection, and whether this machine may reach it.",
        )  # fmt: skip
        return False
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    days = (ends_at - datetime.now(UTC)).days
    if days < _SOON_DAYS:
        findings.add(
            subject, "amber", f"The certificate expires in {days} days.", "Ask the owner of the host to renew it."
        )
    else:
        findings.add(subject, "green", f"The certificate is valid for {days} more days.")
    return True
