"""Send alerts through Apprise (Slack, Teams, email, PagerDuty, ...) or to a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from include.errors import ConfigurationError, TargetUnavailable


def send(urls: Sequence[str], title: str, body: str) -> None:
    """Send one alert to every address.

    Args:
        urls: Apprise URLs, which contain secrets and are never shown. `file:///path` appends the alert to a file as a line of JSON.
        title: One line with the failure and where it happened.
        body: Reason, counts and a link, without secrets and personal data.

    Raises:
        ConfigurationError: Apprise does not support an address.
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
    if not channel.notify(title=title, body=body):
        raise TargetUnavailable("The alert was not delivered to every address", title=title)
