"""What a connection may say of a subscriber."""

from __future__ import annotations

import pytest

from include.errors import ConfigurationError
from include.outbound.subscriber import TYPES, Subscriber
from tests.outbound.conftest import SECRET

URL = "https://hooks.example.com/tributary/"


def test_without_a_filter_it_wants_everything() -> None:
    made = Subscriber.of("hub", URL, SECRET, {})
    assert (made.url, made.types, made.vendors) == (URL, TYPES, ())


def test_a_filter_names_types_by_pattern_and_vendors() -> None:
    extra = {"types": "tributary.finding.* tributary.load.committed", "vendors": "orion tamarac"}
    made = Subscriber.of("hub", URL, SECRET, extra)
    assert made.types == ("tributary.load.committed", "tributary.finding.opened", "tributary.finding.closed")
    assert made.vendors == ("orion", "tamarac")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "http://localhost/x", "http://[::1]:80/x", "https://a"])
def test_http_is_for_this_machine_only(url: str) -> None:
    assert Subscriber.of("hub", url, SECRET, {}).url == url


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/x", "http://127.0.0.1.example.com/", "ftp://a/b", "hooks.example.com", "", "https://["],
)
def test_another_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address") as refused:
        Subscriber.of("hub", url, SECRET, {})
    assert not url or url not in str(refused.value)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", SECRET[6:], f"{SECRET} whsec_*not*base64*", "whsec_é"]
)
def test_a_weak_or_spoilt_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="secret") as refused:
        Subscriber.of("hub", URL, secret, {})
    assert "c2hvcnQ" not in str(refused.value)
    assert SECRET[6:] not in str(refused.value)


@pytest.mark.parametrize("extra", [{"types": "tributary.findings.*"}, {"typse": "*"}])
def test_what_would_be_a_filter_by_mistake_is_refused(extra: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Subscriber.of("hub", URL, SECRET, extra)
