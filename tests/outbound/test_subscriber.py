"""A subscriber's settings in its connection."""

from __future__ import annotations

import pytest

from include.errors import ConfigurationError
from include.outbound.subscriber import TYPES, Subscriber
from tests.outbound.conftest import SECRET
from tests.outbound.test_address import INSIDE

URL = "https://hooks.example.com/tributary/"


def test_without_a_filter_it_wants_everything() -> None:
    subscriber = Subscriber.of("hub", URL, SECRET, {})
    assert (subscriber.url, subscriber.types, subscriber.vendors) == (URL, TYPES, ())


def test_a_filter_names_types_by_pattern_and_vendors() -> None:
    extra = {"types": "tributary.finding.* tributary.load.committed", "vendors": "orion tamarac"}
    subscriber = Subscriber.of("hub", URL, SECRET, extra)
    assert subscriber.types == ("tributary.load.committed", "tributary.finding.opened", "tributary.finding.closed")
    assert subscriber.vendors == ("orion", "tamarac")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "http://localhost/x", "http://[::1]:80/x", "https://a"])
def test_http_is_for_this_machine_only(url: str) -> None:
    assert Subscriber.of("hub", url, SECRET, {"networks": "127.0.0.0/8 ::1"}).url == url


@pytest.mark.parametrize("host", [each for each in INSIDE if each[0].isdigit() or ":" in each])
def test_an_address_that_is_not_public_is_refused_with_what_to_set(host: str) -> None:
    url = f"https://[{host}]/x" if ":" in host else f"https://{host}/x"
    with pytest.raises(ConfigurationError, match="not public and in none of the connection's `networks`"):
        Subscriber.of("hub", url, SECRET, {})


def test_an_address_of_a_network_that_the_operator_named_is_taken() -> None:
    subscriber = Subscriber.of("hub", "https://10.20.3.4/x", SECRET, {"networks": "192.168.0.0/16 10.20.0.0/16"})
    assert [str(each) for each in subscriber.networks] == ["192.168.0.0/16", "10.20.0.0/16"]
    with pytest.raises(ConfigurationError, match="networks"):
        Subscriber.of("hub", "https://10.21.3.4/x", SECRET, {"networks": "10.20.0.0/16"})


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "everything", "10.0.0.0/8,192.168.0.0/16"])
def test_networks_that_are_none_are_refused(networks: str) -> None:
    with pytest.raises(ConfigurationError, match="networks"):
        Subscriber.of("hub", URL, SECRET, {"networks": networks})


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/x", "http://127.0.0.1.example.com/", "ftp://a/b", "hooks.example.com", "", "https://["],
)
def test_another_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address") as error:
        Subscriber.of("hub", url, SECRET, {})
    assert not url or url not in str(error.value)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", SECRET[6:], f"{SECRET} whsec_*not*base64*", "whsec_é"]
)
def test_a_weak_or_spoilt_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="secret") as error:
        Subscriber.of("hub", URL, secret, {})
    assert "c2hvcnQ" not in str(error.value)
    assert SECRET[6:] not in str(error.value)


@pytest.mark.parametrize("extra", [{"types": "tributary.findings.*"}, {"typse": "*"}])
def test_what_would_be_a_filter_by_mistake_is_refused(extra: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Subscriber.of("hub", URL, SECRET, extra)
