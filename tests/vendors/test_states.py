"""Names of US states become codes; other regions stay as they are."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.contract import Derived
from include.vendors import VENDORS
from include.vendors.arrays import STATE_CODES, state_code


def test_name_of_a_state_becomes_its_code_and_any_other_region_stays() -> None:
    stated = pa.array(["Colorado", " new york", "CO", "England", "Georgia", None])
    assert state_code(stated).to_pylist() == ["CO", "NY", "CO", "England", "GA", None]
    assert len(STATE_CODES) == 52


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_map_of_a_vendor_normalises_states(vendor) -> None:  # type: ignore[no-untyped-def]
    for each in vendor.maps:
        if source := each.columns.get("state_code"):
            assert isinstance(source, Derived)
            assert source.function is state_code
