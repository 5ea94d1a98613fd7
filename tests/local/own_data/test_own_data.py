"""Own data as files: all faults in one listing, CSV, and the last day of the data as the present."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from include import business_dates
from include.vendors import VENDORS
from local import cli, demo
from local.own_data import Checked, check_folder
from local.own_data.page import render
from sandbox.emoney import rows as emoney
from sandbox.firm.world import World
from sandbox.moneyguidepro import rows as moneyguidepro
from sandbox.nitrogen import rows as nitrogen
from sandbox.orion.books import OrionBooks
from sandbox.orion.dataset import export
from sandbox.server.clock import Clock
from sandbox.server.rows import dump_line
from sandbox.tamarac.office import Office
from sandbox.tamarac.rows import IDS
from sandbox.vendors import VENDORS as SIMULATED
from tests.running_sandbox import run_sandbox

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "own_data"
LAST = date(2025, 6, 30)
Edit = Callable[[str, int, str, str], None]


def check(folder: Path) -> Checked:
    return check_folder(folder, folder.parent / "prepared")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "data"))


@pytest.fixture
def edit(folder: Path) -> Edit:
    """Replace a text in a line of a file."""

    def edit(file: str, line: int, old: str, new: str) -> None:
        path = folder / file
        lines = path.read_text().split("\n")
        assert old in lines[line - 1], lines[line - 1]
        lines[line - 1] = lines[line - 1].replace(old, new, 1)
        path.write_text("\n".join(lines))

    return edit


def test_the_example_has_no_fault(tmp_path: Path) -> None:
    checked = check_folder(EXAMPLE, tmp_path / "prepared")
    assert list(checked.faults.list()) == []
    assert checked.last_day == LAST
    assert checked.counts["orion"]["clients"] == 10
    assert "synthetic: tamarac, moneyguidepro, nitrogen, docusign, adobe_sign" in checked.describe()


def test_the_example_is_no_client_of_the_invented_firm(tmp_path: Path) -> None:
    clock = Clock()
    world = World(tmp_path, clock, households=500)
    names = {person.last_name for house in world.open_book().households for person in house.people}
    text = (EXAMPLE / "orion" / "registrations.csv").read_text()
    assert [name for name in names if name in text] == []


PLANTED = [
    ("orion/representatives.jsonl", 2, '{"id"', '"id"', "line 2: ", "one JSON object in UTF-8"),
    ("orion/clients.csv", 4, "1981-02-14", "14.02.1981", 'line 4, dob: "14.02.1981"', "a date, such as 2026-11-20"),
    ("orion/clients.csv", 5, ",MN,", ",M,", 'line 5, state: "M"', "2 to 80 characters"),
    (
        "orion/registrations.csv",
        3,
        ",501,",
        ",5010,",
        "line 3, clientId: 5010",
        "the key of a row in orion/clients.csv",
    ),
    ("orion/accounts.csv", 5, ",true,", ",yes,", 'line 5, isActive: "yes"', "true or false"),
    ("orion/accounts.csv", 9, "8008,", "8007,", "line 9, id: 8007, as in line 8", "a key that no other row has"),
    ("orion/assets.csv", 9, "10.115", "10.1150000001", "line 9, currentPrice: 10.1150000001", "and 8 after it"),
    (
        "orion/assets.csv",
        12,
        "2025-06-30",
        "2025-06-29",
        "line 12, asOfDate: 2025-06-29",
        "a trading day of the New York",
    ),
    ("orion/transactions.csv", 2, "Complete", "Settled", 'line 2, status: "Settled"', "one of Complete, Pending,"),
    ("emoney/expenses.csv", 2, "2030", "203O", 'line 2, startYear: "203O"', "a whole number"),
    ("emoney/projections.jsonl", 2, "0.74", "1.74", "line 2, probabilityOfSuccess: 1.74", "0 to 1"),
    ("emoney/projections.jsonl", 3, "0.81", '"high"', 'line 3, probabilityOfSuccess in otherGoals: "high"', "a number"),
    ("emoney/accounts.csv", 3, "EM-3", "EM-33", "line 3, clientId: EM-33", "the key of a row in emoney/clients.csv"),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: f"{each[0]}:{each[1]}")
def test_a_fault_is_named_with_file_line_column_value_and_correct_form(
    folder: Path, edit: Edit, planted: tuple[str, int, str, str, str, str]
) -> None:
    file, line, old, new, place, expected = planted
    edit(file, line, old, new)
    faults = list(check(folder).faults.list())
    assert [fault for fault in faults if fault.startswith(f"{file}, {place}") and expected in fault], faults


def test_ten_faults_are_listed_in_one_start(
    folder: Path, edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path / "state")
    for file, line, old, new, _, _ in PLANTED:
        edit(file, line, old, new)
    assert cli.main(["demo", "--data", str(folder)]) == 1
    output = capsys.readouterr()
    missing = [place for file, _, _, _, place, _ in PLANTED if f"{file}, {place}" not in output.out]
    assert missing == []
    assert "DATA has faults: correct those listed above; docs/reference/own_data_columns.md" in output.err
    assert not (tmp_path / "state" / "settings.json").exists()


def test_of_many_faults_of_one_kind_twenty_are_listed_and_the_rest_counted(folder: Path) -> None:
    path = folder / "orion" / "assets.csv"
    path.write_text(path.read_text().replace("2025-06-30T17:30:00-05:00", "soon"))
    faults = check(folder).faults
    of_kind = [line for line in faults.list() if "editedDate" in line]
    assert len(of_kind) == 21
    assert of_kind[20] == "orion/assets.csv, editedDate: 55 more; expected a time, such as 2026-11-20T14:30:00-05:00"
    assert len(faults) >= 75


def test_a_sum_that_differs_is_named_in_the_line_that_states_it(folder: Path, edit: Edit) -> None:
    edit("orion/accounts.csv", 2, ".", "1.")
    [fault] = check(folder).faults.list()
    assert fault.startswith("orion/accounts.csv, line 2, currentValue: ")
    assert fault.endswith("; expected the sum of its rows in orion/assets.csv on 2025-06-30")


def test_a_column_that_no_row_has_is_named_with_a_similar_one(folder: Path, edit: Edit) -> None:
    edit("orion/clients.csv", 1, "homePhone", "homePhoneNo")
    [fault] = check(folder).faults.list()
    assert fault == (
        "orion/clients.csv, homePhone: no row has it; homePhoneNo is not declared;"
        " expected the field in the rows; null stands for no value"
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"id,name\n1,Ada,2\n", "line 2: 3 cells; expected 2 cells, as many as the header has"),
        (b"id,name\n1,\xe9\n", "line 1: UnicodeDecodeError; expected CSV in UTF-8"),
        (b'id,name\n1,"Ada\n', "line 3: Error; expected CSV in UTF-8"),
    ],
)
def test_a_line_that_is_no_csv_is_named(folder: Path, content: bytes, fault: str) -> None:
    (folder / "orion" / "custodians.csv").write_bytes(content)
    assert f"orion/custodians.csv, {fault}" in list(check(folder).faults.list())


def test_a_value_of_a_sensitive_column_is_not_shown(folder: Path) -> None:
    path = folder / "orion" / "registrations.csv"
    lines = path.read_text().splitlines()
    header = lines[0].split(",")
    (folder / "orion" / "registrations.jsonl").write_text(
        "".join(f'{{"id": {n}, "ssN_TaxID": [{n}]}}\n' for n in (912345678,))
    )
    path.unlink()
    assert "ssN_TaxID" in header
    faults = "\n".join(check(folder).faults.list())
    assert "ssN_TaxID: the shape [999999999]" in faults
    assert "ssN_TaxID: 912345678" not in faults


def test_a_table_in_two_files_is_a_fault(folder: Path) -> None:
    (folder / "orion" / "clients.jsonl").write_text('{"id": 1}\n')
    assert "orion/clients.csv: two files; expected either clients.jsonl or clients.csv" in list(
        check(folder).faults.list()
    )


def test_cells_are_numbers_words_objects_and_lists_as_the_vendor_writes_them(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "emoney"
    folder.mkdir(parents=True)
    header = "clientId,firstName,lastName,address.zip,spouse.firstName,spouse.lastName,externalId"
    (folder / "clients.csv").write_text(f'{header}\n0017,"Ada, B.",Sample,02108,,,\n', encoding="utf-8-sig")
    (folder / "projections.csv").write_text(
        'clientId,planId,probabilityOfSuccess,otherGoals\n0017,1,0.50,"[{""goalId"":""7""}]"\n'
    )
    served = check(tmp_path / "data").served / "emoney"
    assert [orjson.loads(line) for line in (served / "clients.jsonl").read_bytes().splitlines()] == [
        {
            "clientId": "0017", "firstName": "Ada, B.", "lastName": "Sample", "address": {"zip": "02108"}, "spouse": None,
            "externalId": None,
        }
    ]  # fmt: skip
    assert (served / "projections.jsonl").read_text() == (
        '{"clientId":"0017","planId":"1","probabilityOfSuccess":0.50,"otherGoals":[{"goalId":"7"}]}\n'
    )


def test_a_folder_of_json_lines_is_served_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "orion").mkdir(parents=True)
    (folder / "orion" / "custodians.jsonl").write_text('{"id": 1, "name": "Sample"}\n')
    assert check(folder).served == folder
    assert not (tmp_path / "prepared").exists()


def test_the_sandbox_serves_the_example(tmp_path: Path) -> None:
    checked = check_folder(EXAMPLE, tmp_path / "prepared")
    assert checked.evening == datetime(2025, 6, 30, 23, tzinfo=UTC)
    with run_sandbox(tmp_path / "state", data=checked.served, now=checked.evening, households=4) as sandbox:
        assert len(sandbox.rows("Portfolio/Clients")) == 10
        assert {row["asOfDate"] for row in sandbox.rows("Portfolio/Assets")} == {"2025-06-30"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The invented firm as files of five vendors, on a past day."""
    folder, clock = tmp_path_factory.mktemp("written"), Clock()
    clock.set(datetime(2024, 6, 28, 23, tzinfo=UTC))
    world = World(tmp_path_factory.mktemp("world"), clock, seed=3, households=12)
    last = world.closed_through
    export(folder, OrionBooks(world), last, last)
    office = Office(world)
    office.edit("closed_through", {"date": last.isoformat()})
    tables = {f"tamarac/{name}": [row for _, row in office.read(name)] for name in IDS}
    tables["tamarac/holdings"] = [row for block in office.read_holdings(last) for row in block]
    trades = office.read_transactions("Trade", world.firm.first, last)
    tables["tamarac/transactions"] = [row for block in trades for row in block]
    for module in (emoney, moneyguidepro, nitrogen):
        writer = module.RowWriter(world)
        for name in module.TABLES:
            write = getattr(writer, f"write_{name}")
            tables[f"{module.VENDOR}/{name}"] = [row for number in writer.numbers.values() for row in write(number)]
    for name, rows in tables.items():
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(map(dump_line, rows)))
    return folder


def test_the_invented_firm_has_no_fault_but_those_invented_for_planners(written: Path) -> None:
    checked = check(written)
    assert checked.last_day == date(2024, 6, 28)
    assert len(checked.counts) == 5
    # A planner writes "as needed" and "TBD" for amounts.
    assert [line for line in checked.faults.list() if "plan_summaries.jsonl" not in line] == []


def test_the_page_has_every_column_and_is_current() -> None:
    page = (ROOT / "docs" / "reference" / "own_data_columns.md").read_text()
    assert page == render(), "make generate"
    for own in SIMULATED:
        for table in own.own_data:
            assert f"### {own.name}/{table}\n" in page
    codes = next(line for line in page.splitlines() if line.startswith("| `typeCode` |") and "one of" in line)
    assert "one of BUY, CON, DIV," in codes
    assert all(vendor.title in page for vendor in VENDORS)


EVENING = datetime(2025, 6, 30, 23, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)


def test_the_present_is_the_evening_of_the_datas_last_day_and_runs_on() -> None:
    first = demo.set_present({}, EVENING, NOW)
    assert NOW - timedelta(seconds=first["behind_s"]) == EVENING
    assert demo.set_present(first, EVENING, NOW + timedelta(hours=5)) == first
    later = NOW + timedelta(days=3)
    again = demo.set_present(first, EVENING, later)
    assert later - timedelta(seconds=again["behind_s"]) == EVENING + timedelta(hours=1)
    for _ in range(30):
        later += timedelta(days=2)
        again = demo.set_present(again, EVENING, later)
        assert business_dates.latest_closed(later - timedelta(seconds=again["behind_s"])) == LAST


@pytest.mark.parametrize("evening", [None, datetime(2026, 11, 19, 23, tzinfo=UTC)])
def test_data_up_to_the_latest_trading_day_leaves_the_clock_alone(evening: datetime | None) -> None:
    assert demo.set_present({}, evening, NOW)["behind_s"] == 0
