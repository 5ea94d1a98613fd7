"""What the API is told of the firm: whose tokens it takes, and where it is reached.

TRIBUTARY_API_DATABASE     postgresql://tributary_api:...@host:5432/tributary; without it, there is no API
TRIBUTARY_API_ISSUER       the identity provider, as tokens name it (`iss`); without it, only API keys are taken
TRIBUTARY_API_AUDIENCE     how tokens name this API (`aud`)
TRIBUTARY_API_JWKS_URL     where the issuer's public keys are
TRIBUTARY_API_TOKEN_URL    where callers get tokens; only told in the OpenAPI document
TRIBUTARY_API_URL          where callers reach this API, such as https://tributary.example/api/v1; for links and the document

Each may be given as `..._FILE`, the path of a file that holds the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from include.errors import ConfigurationError
from include.gateway.settings import read_setting

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is said above, as it is named there.

    Raises:
        ConfigurationError: An issuer without audience or keys, or keys that would be fetched without TLS.
    """

    issuer: str = ""
    audience: str = ""
    jwks_url: str = ""
    token_url: str = ""
    url: str = "/api/v1"

    def __post_init__(self) -> None:
        if not self.issuer:
            return
        if not self.audience or not self.jwks_url:
            raise ConfigurationError(
                "An issuer of tokens needs an audience and the URL of its keys", issuer=self.issuer
            )
        if not _is_safe(self.jwks_url):
            raise ConfigurationError("An issuer's keys must be fetched by https", issuer=self.issuer)


def read_settings() -> Settings:
    """Returns the settings of the environment.

    Raises:
        ConfigurationError: A file can't be read, or the settings can't be meant so.
    """
    names = ("issuer", "audience", "jwks_url", "token_url")
    known = {name: read_setting(f"TRIBUTARY_API_{name.upper()}") for name in names}
    return Settings(**known, url=read_setting("TRIBUTARY_API_URL").rstrip("/") or Settings().url)


def read_database() -> str:
    """Returns the database's URL, "" where there is none; looked at here: drivers quote one that they can't read.

    Raises:
        ConfigurationError: It is no URL of a database.
    """
    url = read_setting("TRIBUTARY_API_DATABASE")
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme == "postgresql" and bool(parts.hostname and parts.path.strip("/"))
        _ = parts.port
    except ValueError:
        is_whole = False
    if url and not is_whole:
        raise ConfigurationError(
            "TRIBUTARY_API_DATABASE is not a URL like postgresql://user:password@host:5432/database"
        )
    return url


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
