"""The page of sessions names browsers as users know them."""

from __future__ import annotations

import pytest

from include.sign_on.browsers import describe_browser

CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) {} Safari/537.36"
MAC = "Macintosh; Intel Mac OS X 10_15_7"


@pytest.mark.parametrize(
    ("agent", "description"),
    [
        (CHROME.format("X11; Linux x86_64", "HeadlessChrome/150.0.0.0"), "Chrome 150, Linux"),
        (CHROME.format("Linux; Android 10; K", "Chrome/150.0.0.0 Mobile"), "Chrome 150, Android"),
        (CHROME.format("Windows NT 10.0; Win64; x64", "Chrome/150.0.0.0") + " Edg/150.0.0.0", "Edge 150, Windows"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox 145, Windows"),
        (f"Mozilla/5.0 ({MAC}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15", "Safari 26, Mac"),
        ("python-httpx/0.28.1", "python-httpx/0.28.1"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_browser_is_named_with_its_version_and_system(agent: str, description: str) -> None:
    assert describe_browser(agent) == description
