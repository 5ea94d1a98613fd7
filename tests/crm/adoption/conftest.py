"""The loaded firm with its identities, and an org into which users typed records."""

from __future__ import annotations

import pytest

from include.identity.resolve import resolve
from include.vendors import VENDORS
from tests.crm.adoption.typed_org import TypedOrg
from tests.crm.conftest import Crm
from tests.running_sandbox import LAST


@pytest.fixture
def org(crm: Crm) -> TypedOrg:
    resolve(crm.engine, VENDORS, "identity", LAST)
    return TypedOrg(crm)
