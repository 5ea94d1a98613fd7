"""A folder for servers that are backed up and restored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres import Postgres, _find_memory


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can reach, with all servers in it gone at the end."""
    with tempfile.TemporaryDirectory(prefix="tributary-drill-", dir=_find_memory()) as name:
        Path(name).chmod(0o711)
        try:
            yield Path(name)
        finally:
            for each in Path(name).glob("*/cluster"):
                Postgres(each.parent, 0).stop()
