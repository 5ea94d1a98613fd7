"""The settings of a gateway that runs by itself: environment variables, or files that they name.

TRIBUTARY_GATEWAY_DATABASE       postgresql://tributary_gateway:...@host:5432/tributary
<CONNECTION>_SECRETS             a sender's secrets, separated by blanks; its entry names the connection
<CONNECTION>_NETWORKS            the networks it calls from, separated by blanks, where it is asked for them

Each may be given as `..._FILE`, the path of a file that holds the value. Files are read at each call, so that a key is exchanged
without a restart.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from include.errors import ConfigurationError
from include.gateway.webhooks.authenticity import Keyring
from include.gateway.webhooks.senders import Sender


def read_keyring(sender: Sender) -> Keyring:
    """Returns what the settings say of a sender; a keyring of nothing, which accepts nobody, where they say nothing.

    Raises:
        ConfigurationError: A file or a network can't be read.
    """
    name = sender.connection.upper()
    return Keyring.of(read_setting(f"{name}_SECRETS"), read_setting(f"{name}_NETWORKS"))


def read_database() -> str:
    """Returns the database's URL, looked at here: drivers quote one that they can't read, password included.

    Raises:
        ConfigurationError: There is none, or it is no URL of a database.
    """
    name = "TRIBUTARY_GATEWAY_DATABASE"
    url = read_setting(name)
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme == "postgresql" and bool(parts.hostname and parts.path.strip("/"))
        _ = parts.port
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConfigurationError(f"{name} is not a URL like postgresql://user:password@host:5432/database")
    return url


def read_setting(name: str) -> str:
    """Returns a setting, or "".

    Raises:
        ConfigurationError: It names a file that can't be read.
    """
    path = os.environ.get(f"{name}_FILE", "")
    if not path:
        return os.environ.get(name, "")
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError):
        raise ConfigurationError(f"The file that {name}_FILE names can't be read") from None
