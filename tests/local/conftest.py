"""Fixtures of the tests of the local tools."""

from __future__ import annotations

import pytest

from local.processes import find_free_port


@pytest.fixture
def free_port() -> int:
    return find_free_port()
