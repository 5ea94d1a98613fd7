"""Alerts to people: through Apprise to Slack, Teams, mail, PagerDuty and the like, or to a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from include.errors import ConfigurationError, TargetUnavailable


def send(urls: Sequence[str], title: str, body: str) -> None:
    """Sends one alert to every address.

    Args:
        urls: Apprise URLs (they hold secrets and are never shown); `file:///path` appends a line of JSON.
        title: One line: what is wrong where.
        body: Reason, counts, a link; no secrets and no personal data.

    Raises:
        ConfigurationError: An address is of no kind that Apprise knows.
        TargetUnavailable: Somebody was not reached.
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
            raise ConfigurationError("An alert address is of no known kind", scheme=urlsplit(url).scheme)
    if not channel.notify(title=title, body=body):
        raise TargetUnavailable("Not everybody was reached by the alert", title=title)
