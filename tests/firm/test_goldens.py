"""The firm's own goldens: responses of its vendors, and beside each the expected rows under the settings of the firm's folder.

They are `<vendor>/<table>.json` (or `.csv`) and `<vendor>/<table>.expected.json` in `tests/goldens` of the firm's folder. A missing expected
file is written, and the test fails, so that the firm reviews it. Tables without a response of the firm's get ours.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.connection import Connection
from include.contract import Vendor
from include.contract.overrides import apply_overrides
from include.firm.content import TESTS
from include.firm.folder import Firm, read_all
from include.vendors import VENDORS, named
from include.warehouse import schema
from tests.conftest import FIRM, Database
from tests.vendors.golden_day import goldens, run_day

FOLDER = FIRM / TESTS / "goldens"
KNOWN = [vendor.name for vendor in VENDORS if (FOLDER / vendor.name).is_dir()]


def configure(firm: Firm, name: str) -> Vendor:
    """Return the declaration of a vendor with the settings of the firm's folder."""
    return apply_overrides(named(name), firm.complete(Connection("", name=name)).extra)


def compare(vendor: Vendor, folder: Path, engine: sa.Engine, work: Path) -> list[str]:
    """Run a day of a vendor; return the tables whose rows differ from the expected ones. Write the expected files that are missing."""
    own = {path.stem: path.read_bytes() for path in folder.iterdir() if path.suffixes in ([".json"], [".csv"])}
    day = run_day(engine, work, vendor, goldens(vendor) | own)
    differing = []
    for name in sorted(own):
        canonical = {entity: day.read_canonical(name, entity) for entity in day.entities(name)}
        outcome = {"staged": day.staged(name), "dead": day.dead(name), "canonical": canonical}
        actual = json.dumps(outcome, indent=1, default=str, ensure_ascii=False) + "\n"
        expected = folder / f"{name}.expected.json"
        if not expected.exists():
            expected.write_text(actual)
            differing.append(f"{name}: {expected.name} was missing, and is written: read it")
        elif actual != expected.read_text():
            differing.append(f"{name}: the rows differ from {expected.name}")
    return differing


def check_goldens(folder: Path, name: str, database: Database, work: Path) -> list[str]:
    """Compare one vendor's goldens of a firm's folder."""
    firm, faults = read_all(folder)
    assert [str(fault) for fault in faults] == []
    engine = schema.engine(database.url())
    try:
        return compare(configure(firm, name), folder / TESTS / "goldens" / name, engine, work)
    finally:
        engine.dispose()


def test_the_firms_folder_has_no_mistake() -> None:
    assert [str(fault) for fault in read_all(FIRM)[1]] == []


@pytest.mark.skipif(not KNOWN, reason="the firm has no goldens")
@pytest.mark.parametrize("name", KNOWN or ["none"])
def test_the_firms_responses_become_its_goldens(name: str, shared_database: Database, tmp_path: Path) -> None:
    assert check_goldens(FIRM, name, shared_database, tmp_path) == []


def test_a_golden_of_a_firm_is_compared_under_its_settings(tmp_path: Path, shared_database: Database) -> None:
    folder = tmp_path / "firm"
    home = folder / TESTS / "goldens" / "orion"
    home.mkdir(parents=True)
    (folder / "vendors.yaml").write_text("orion: {columns: {accounts: {custodian: Bank}}}")
    (home / "accounts.json").write_bytes(goldens(named("orion"))["accounts"].replace(b'"custodian"', b'"Bank"'))
    assert check_goldens(folder, "orion", shared_database, tmp_path / "1") == [
        "accounts: accounts.expected.json was missing, and is written: read it"
    ]
    assert check_goldens(folder, "orion", shared_database, tmp_path / "2") == []
    expected = home / "accounts.expected.json"
    assert '"custodian"' in expected.read_text()
    expected.write_text(expected.read_text().replace('"custodian"', '"other"'))
    assert check_goldens(folder, "orion", shared_database, tmp_path / "3") == [
        "accounts: the rows differ from accounts.expected.json"
    ]
