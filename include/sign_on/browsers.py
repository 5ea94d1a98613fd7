"""Name the browser and the system of a login, so that a user recognizes a session."""

from __future__ import annotations

import re

# In this order: Edge and Opera also name Chrome, which also names Safari.
_BROWSERS = {
    "Edg": "Edge",
    "OPR": "Opera",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "Chrome": "Chrome",
    "CriOS": "Chrome",
    "Version": "Safari",
}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Macintosh": "Mac",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def describe_browser(agent: str) -> str:
    """Return browser, version and system of a `User-Agent` header, such as `Firefox 145, Windows`; an unknown header unchanged."""
    versions = {
        name: match[1] for token, name in _BROWSERS.items() if (match := re.search(rf"{token}\w*/(\d+)", agent))
    }
    systems = [name for token, name in _SYSTEMS.items() if token in agent]
    if not versions or not systems:
        return agent
    browser = next(iter(versions))
    return f"{browser} {versions[browser]}, {systems[0]}"
