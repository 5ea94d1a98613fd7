from datetime import UTC, date, datetime

import pytest

from include.sandbox.clock import Clock
from include.sandbox.dataset import ORION_TABLES, Folder, export
from include.sandbox.edits import Edits
from include.sandbox.orion_books import OrionBooks
from include.sandbox.world import World

FIRST, LAST = date(2026, 11, 18), date(2026, 11, 20)
PATHS = [
    "Portfolio/Representatives",
    "Portfolio/Clients?$orderby=Id",
    "Portfolio/Registrations?$orderby=Id",
    "Portfolio/Accounts?$orderby=Id",
    "Portfolio/Accounts?asOfDate=2026-11-18&$orderby=Id",
    "Portfolio/Assets?asOfDate=2026-11-19&$orderby=Id&$top=50&$skip=20",
    "Portfolio/Assets?includeCostBasis=true",
    "Portfolio/Transactions?startDate=11/10/2026",
    "Portfolio/Accounts/Value/11-18-2026",
    "Portfolio/FundFamilies/Simple",
]


@pytest.fixture
def exported(tmp_path):
    clock = Clock()
    clock.set(datetime(2026, 11, 20, 23, tzinfo=UTC))
    (tmp_path / "state").mkdir()
    source = OrionBooks(World(tmp_path / "state", clock, households=40))
    export(tmp_path / "data", source, FIRST, LAST)
    return tmp_path / "data"


def test_exported_firm_is_served_with_the_same_answers(sandbox, start_sandbox, exported, tmp_path):
    served = start_sandbox(tmp_path / "other", data=exported, households=1)
    for path in PATHS:
        url = f"/orion/api/v1/{path}"
        assert served.http.get(url).content == sandbox.http.get(url).content, path


def test_additional_accounts_come_from_their_file(sandbox, start_sandbox, exported, tmp_path):
    served = start_sandbox(tmp_path / "other", data=exported, households=1)
    client = next(row for row in sandbox.rows("Portfolio/Clients") if row["additionalAccounts"])
    asked = {"clientId": client["id"], "includeAdditionalAccounts": "true"}
    assert served.rows("Portfolio/Accounts", **asked) == sandbox.rows("Portfolio/Accounts", **asked)


def test_export_over_http_gives_the_lines_of_a_table(sandbox, exported):
    answer = sandbox.http.get("/_sandbox/export?vendor=orion&table=assets&from=2026-11-18&to=2026-11-20")
    assert answer.content == (exported / "orion" / "assets.jsonl").read_bytes()


def write_folder(folder, **tables):
    (folder / "orion").mkdir()
    for name, lines in tables.items():
        (folder / "orion" / f"{name}.jsonl").write_text(lines)
    return Folder(folder / "orion", Edits(folder / "edits.jsonl"), Clock())


def test_every_digit_and_every_field_of_the_file_is_served(start_sandbox, tmp_path):
    line = '{"id":1,"currentShares":1.50000000,"currentValue":0.10,"own":null,"asOfDate":"2026-11-20"}'
    write_folder(tmp_path, assets=f"{line}\n")
    served = start_sandbox(data=tmp_path)
    assert served.get("Portfolio/Assets", includeCostBasis="true").text == f"[{line}]"


def test_day_without_rows_is_answered_with_the_last_day_before_it(tmp_path):
    lines = '{"id":1,"asOfDate":"2026-11-18"}\n{"id":2,"asOfDate":"2026-11-20"}\n'
    folder = write_folder(tmp_path, assets=lines)
    assert folder.find_rows("assets", date(2026, 11, 19)).values == [(1, "2026-11-18")]
    assert folder.find_rows("assets", date(2026, 11, 17)).values == []
    assert folder.closed_through == date(2026, 11, 20)


def test_absent_file_is_an_empty_table(tmp_path):
    folder = write_folder(tmp_path)
    assert all(folder.find_rows(table).values == [] for table in ORION_TABLES)


def test_unreadable_line_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"clients\.jsonl, line 2"):
        write_folder(tmp_path, clients='{"id":1}\n{"id":\n')


def test_price_is_corrected_and_row_mended_in_a_folder_too(start_sandbox, tmp_path):
    line = '{"id":1,"productId":5,"currentShares":2,"currentPrice":3,"currentValue":6,"asOfDate":"2026-11-20"}'
    write_folder(tmp_path, assets=f"{line}\n", clients='{"id":9,"name":"Ada Sample"}\n')
    served = start_sandbox(data=tmp_path)
    served.admin("orion/correct_price", product_id=5, date="2026-11-20", price=4.005)
    served.admin("orion/mend", table="clients", id=9, set={"name": "Ada Example"})
    assert float(served.rows("Portfolio/Assets")[0]["currentValue"]) == 8.01
    assert served.rows("Portfolio/Clients") == [{"id": 9, "name": "Ada Example"}]
