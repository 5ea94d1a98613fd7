"""Address and credentials of another system: the fields of an Airflow connection, without Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Connection:
    """Address and credentials of one system.

    Attributes:
        url: Base URL, without a slash at the end.
        login: User name or client id; empty if there is none.
        password: Password or secret of the login; never shown.
        extra: Further credentials by name (client_id, client_secret, private_key, ...); never shown.
    """

    url: str
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
