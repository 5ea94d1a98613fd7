"""The API's settings: its database, the token issuer, and its public URL.

TRIBUTARY_API_DATABASE     postgresql://tributary_api:...@host:5432/tributary; without it, the API is not served
TRIBUTARY_API_ISSUER       the identity provider, as in the tokens' `iss` claim; without it, only API keys are accepted
TRIBUTARY_API_AUDIENCE     this API, as in the tokens' `aud` claim
TRIBUTARY_API_JWKS_URL     URL of the issuer's public keys
TRIBUTARY_API_TOKEN_URL    URL at which callers get tokens; used only in the OpenAPI document
TRIBUTARY_API_URL          public URL of this API, such as https://tributary.example/api/v1; for links and the document

Append `_FILE` to a name to give the path of a file that holds the value.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.connection import require_database_url, require_https
from include.errors import ConfigurationError
from include.gateway.settings import read_setting


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the API, except its database; the module's docstring describes each.

    Raises:
        ConfigurationError: An issuer is set without an audience or a keys URL, or a URL is neither https nor on this machine.
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
                "TRIBUTARY_API_ISSUER needs TRIBUTARY_API_AUDIENCE and TRIBUTARY_API_JWKS_URL", issuer=self.issuer
            )
        require_https(self.jwks_url, "TRIBUTARY_API_JWKS_URL", issuer=self.issuer)
        if self.token_url:
            require_https(self.token_url, "TRIBUTARY_API_TOKEN_URL", issuer=self.issuer)


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A file can't be read, or the settings are invalid.
    """
    names = ("issuer", "audience", "jwks_url", "token_url")
    values = {name: read_setting(f"TRIBUTARY_API_{name.upper()}") for name in names}
    return Settings(**values, url=read_setting("TRIBUTARY_API_URL").rstrip("/") or Settings().url)


def read_database() -> str:
    """Return the database URL; "" if there is none.

    Raises:
        ConfigurationError: It is not a PostgreSQL URL, or its file can't be read.
    """
    name = "TRIBUTARY_API_DATABASE"
    url = read_setting(name)
    return require_database_url(url, name) if url else ""
