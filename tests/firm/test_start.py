"""The start of a firm's folder: as it is written it changes nothing, and neither do its lines without the comment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from include.crm.objects.portfolio import list_mappings
from include.crm.settings import SHAPES, Settings, ShapeName
from include.errors import ConfigurationError
from include.firm.content import ALERTS, DOCUMENTS, MAPPING, THRESHOLDS, VENDORS
from include.firm.document import Faults
from include.firm.folder import read_all
from include.firm.own_rules import load_rules
from include.firm.start import EXAMPLE, write_start
from include.rules.policy import Policy

GUIDE = Path(__file__).parents[2] / "docs/how-to/firm_folder.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_start(tmp_path / "firm")
    return tmp_path / "firm"


def uncomment(folder: Path, *names: str) -> None:
    """Remove the `# ` of every line but those that explain."""
    for name in names:
        path = folder / name
        lines = [line for line in path.read_text().splitlines() if not line.startswith("##")]
        assert all(line.startswith("#") for line in lines)
        path.write_text("\n".join(re.sub("^# ?", "", line) for line in lines))


def test_the_start_changes_nothing(folder: Path) -> None:
    firm, faults = read_all(folder)
    assert (faults, firm.differences) == ([], ())
    assert {path.name for path in folder.iterdir()} == {*DOCUMENTS, "rules"}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mapping_of_each_shape_states_what_is_in_force(tmp_path: Path, shape: ShapeName) -> None:
    write_start(tmp_path, shape)
    uncomment(tmp_path, MAPPING)
    firm, faults = read_all(tmp_path)
    assert ([str(each) for each in faults], firm.differences) == ([], ())
    assert {mapping.entity for mapping in list_mappings(Settings("sample", shape=shape, has_transactions=True))} <= {
        *firm.changes
    }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_lines_of_the_start_are_valid_and_state_what_is_in_force(folder: Path, name: str) -> None:
    uncomment(folder, name)
    firm, faults = read_all(folder)
    assert ([str(each) for each in faults], firm.differences) == ([], ())
    parsed = {MAPPING: firm.changes, VENDORS: firm.vendors, THRESHOLDS: firm.thresholds, ALERTS: firm.routes}
    assert (
        len(parsed[name]) >= {MAPPING: 13, VENDORS: 7, THRESHOLDS: len(Policy.__dataclass_fields__), ALERTS: 10}[name]
    )


def test_the_example_of_a_rule_is_valid(folder: Path) -> None:
    uncomment(folder, EXAMPLE)
    faults = Faults()
    [rule], household_rules = load_rules(folder, faults, [])
    assert (faults.list(), household_rules, rule.name) == ([], (), "firm_much_cash")


def test_the_examples_of_the_guide_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    for name, text in zip((MAPPING, VENDORS, ALERTS), blocks, strict=True):
        (tmp_path / name).write_text(text)
    firm, faults = read_all(tmp_path)
    assert [str(each) for each in faults] == []
    assert len(firm.differences) > 15


def test_files_that_exist_are_not_overwritten(folder: Path) -> None:
    (folder / "alerts.yaml").write_text("failed: tributary_alerts_ops")
    with pytest.raises(ConfigurationError, match="nothing was written"):
        write_start(folder)
    assert (folder / "alerts.yaml").read_text() == "failed: tributary_alerts_ops"
