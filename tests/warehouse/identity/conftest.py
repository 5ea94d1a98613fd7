"""A firm whose records of several vendors are matched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.warehouse.identity.firm import Firm


@pytest.fixture
def firm(database: Database, tmp_path: Path) -> Iterator[Firm]:
    firm = Firm(database, tmp_path)
    yield firm
    firm.close()
