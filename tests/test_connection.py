"""Which URLs are safe to send secrets to, which name a database, and that an error shows no secret."""

from __future__ import annotations

import pytest

from include.connection import is_https, require_database_url, require_https
from include.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    ["https://vendor.example", "HTTPS://vendor.example/api/v1?a=b", "https://10.0.0.1:8443", "http://127.0.0.1:8000",
     "http://127.8.9.1/x", "http://[::1]:80/x", "http://localhost:8080"],
)  # fmt: skip
def test_https_and_this_machine_are_safe(url: str) -> None:
    assert is_https(url)


@pytest.mark.parametrize(
    "url",
    ["http://vendor.example", "HTTP://vendor.example", "http://10.0.0.1", "http://0.0.0.0", "http://169.254.169.254",
     "http://127.0.0.1.vendor.example", "http://localhost.vendor.example", "http://127.0.0.1@vendor.example",
     "http://vendor.example\\@127.0.0.1/", "https://vendor.example\\@127.0.0.1/", "http://2130706433", "http://127.1",
     "ftp://127.0.0.1", "file:///etc/passwd", "vendor.example", "https:", "https://", "https://a:b", "http://[::1", ""],
)  # fmt: skip
def test_any_other_url_is_not(url: str) -> None:
    assert not is_https(url)


def test_error_names_the_host_and_no_secret_of_the_url() -> None:
    with pytest.raises(ConfigurationError, match=r"https://.*scheme=http host=vendor.example vendor=orion") as error:
        require_https("http://user:passw0rd@vendor.example/p4th?key=s3cret", "The host", vendor="orion")
    assert not [secret for secret in ("passw0rd", "p4th", "s3cret") if secret in str(error.value)]


@pytest.mark.parametrize(
    "url",
    ["postgresql://a:passw0rd@db:port/x", "postgresql://a:passw0rd@db", "postgresql://a:passw0rd@db/", "postgresql:///x",
     "mysql://a:passw0rd@db/x", "postgresql://a:passw0rd@[db/x", "passw0rd", ""],
)  # fmt: skip
def test_database_url_that_is_not_whole_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="TRIBUTARY_LOAD_URL is not a URL like") as error:
        require_database_url(url, "TRIBUTARY_LOAD_URL")
    assert "passw0rd" not in str(error.value)


def test_database_url_that_is_whole_is_returned() -> None:
    url = "postgresql://user:pass%2Fword@db:5432/tributary?sslmode=verify-full"
    assert require_database_url(url, "TRIBUTARY_LOAD_URL") == url
