"""Send alerts through Apprise (Slack, Teams, email, PagerDuty, ...) or to a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from include.connection import is_loopback
from include.errors import ConfigurationError, TargetUnavailable


def send(urls: Sequence[str], title: str, body: str) -> None:
    """Send one alert to every address.

    Args:
        urls: Apprise URLs, which contain secrets and are never shown. `file:///path` appends the alert to a file as a line of JSON.
        title: One line with the failure and where it happened.
        body: Reason, counts and a link, without secrets and personal data.

    Raises:
        ConfigurationError: Apprise does not support an address, or would send the alert there without TLS.
        TargetUnavailable: Apprise could not deliver the alert to every address.
    """
    files = [Path(urlsplit(url).path) for url in urls if url.startswith("file://")]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lines:
            line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "title": title, "body": body}
            lines.write(json.dumps(line) + "\n")
    others = [url for url in urls if not url.startswith("file://")]
    if not others:
        return
    import apprise

    channel = apprise.Apprise()
    for url in others:
        if not channel.add(url):
            raise ConfigurationError(
                "Unsupported alert address: use an Apprise URL or file://", scheme=urlsplit(url).scheme
            )
    for address in channel:
        _require_tls(address)
    if not channel.notify(title=title, body=body):
        raise TargetUnavailable("The alert was not delivered to every address", title=title)


def _require_tls(address: Any) -> None:
    """Raise `ConfigurationError` for an address of Apprise that could use TLS and does not (json, not jsons), except on this machine."""
    host = getattr(address, "smtp_host", None) or getattr(address, "host", None)
    if address.protocol and address.secure_protocol and not address.secure and host and not is_loopback(host):
        raise ConfigurationError(
            "An alert address sends without TLS: use its secure form",
            scheme=address.protocol, secure=address.secure_protocol,
        )  # fmt: skip
