"""A vendor-day with suites in a folder of the test."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from include.staging.partitions import Staging
from include.validation import suite as suites_of_tables
from include.validation.suite import read_suite
from tests.firm_keys import KEYRING
from tests.validation.vendor_day import Day


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    suites = tmp_path / "suites"
    suites.mkdir()
    monkeypatch.setattr(suites_of_tables, "read_suite", partial(read_suite, folder=suites))
    return Day(Staging(str(tmp_path / "staging"), KEYRING.staging), suites)
