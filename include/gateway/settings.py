"""Settings of a gateway that runs as its own process: environment variables, or files that they name.

TRIBUTARY_GATEWAY_DATABASE       postgresql://tributary_gateway:...@host:5432/tributary
TRIBUTARY_RECEIVING_KEY          the key that encrypts bodies; `python -m include.cli receiving-key` prints it
<CONNECTION>_SECRETS             the sender's secrets, separated by spaces; <CONNECTION> is `Sender.connection` in upper case
<CONNECTION>_NETWORKS            the sender's networks, separated by spaces; needed if its authenticity check uses networks

Append `_FILE` to a name to give the path of a file that holds the value. Files are read on every request, so a secret can be
rotated without a restart.
"""

from __future__ import annotations

import os
from pathlib import Path

from include.connection import require_database_url
from include.contract.webhook import Sender
from include.errors import ConfigurationError
from include.gateway.webhooks.authenticity import Keyring
from include.keys.inbox import ReceivingKey


def read_keyring(sender: Sender) -> Keyring:
    """Return the secrets and networks of a sender. If none are set, return an empty keyring, which rejects every delivery.

    Raises:
        ConfigurationError: A file can't be read, or a network is invalid.
    """
    name = sender.connection.upper()
    return Keyring.of(read_setting(f"{name}_SECRETS"), read_setting(f"{name}_NETWORKS"))


def read_receiving_key() -> ReceivingKey:
    """Return the key that encrypts webhook bodies and pushed records.

    Raises:
        ConfigurationError: It is missing or malformed, or its file can't be read.
    """
    if not (text := read_setting("TRIBUTARY_RECEIVING_KEY")):
        raise ConfigurationError("TRIBUTARY_RECEIVING_KEY is not set; `python -m include.cli receiving-key` prints it")
    return ReceivingKey.parse(text)


def read_database() -> str:
    """Return the database URL.

    Raises:
        ConfigurationError: It is missing or not a PostgreSQL URL, or its file can't be read.
    """
    name = "TRIBUTARY_GATEWAY_DATABASE"
    return require_database_url(read_setting(name), name)


def read_setting(name: str) -> str:
    """Return a setting; "" if it is not set.

    Raises:
        ConfigurationError: The `_FILE` variable names a file that can't be read.
    """
    path = os.environ.get(f"{name}_FILE", "")
    if not path:
        return os.environ.get(name, "")
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError):
        raise ConfigurationError(
            f"Can't read the file that {name}_FILE names: check its path and permissions"
        ) from None
