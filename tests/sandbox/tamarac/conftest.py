"""Tamarac in the sandbox."""

import pytest

from tests.sandbox.tamarac.caller import Caller


@pytest.fixture
def tamarac(sandbox):
    return Caller(sandbox)


@pytest.fixture
def start_tamarac(start_sandbox):
    return lambda **options: Caller(start_sandbox(**options))
