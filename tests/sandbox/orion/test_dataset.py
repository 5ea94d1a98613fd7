from datetime import UTC, date, datetime

import pytest

from sandbox.firm.edits import Edits
from sandbox.firm.world import World
from sandbox.orion.books import OrionBooks
from sandbox.orion.dataset import ORION_TABLES, Folder, export
from sandbox.server.clock import Clock

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


def test_exported_firm_is_served_with_the_same_responses(sandbox, start_sandbox, exported, tmp_path):
    served = start_sandbox(tmp_path / "other", data=exported, households=1)
    for path in PATHS:
        url = f"/orion/api/v1/{path}"
        assert served.http.get(url).content == sandbox.http.get(url).content, path


def test_additional_accounts_come_from_their_file(sandbox, start_sandbox, exported, tmp_path):
    served = start_sandbox(tmp_path / "other", data=exported, households=1)
    client = next(row for row in sandbox.rows("Portfolio/Clients") if row["additionalAccounts"])
    params = {"clientId": client["id"], "includeAdditionalAccounts": "true"}
    assert served.rows("Portfolio/Accounts", **params) == sandbox.rows("Portfolio/Accounts", **params)


def test_export_over_http_gives_the_lines_of_a_table(sandbox, exported):
    response = sandbox.http.get("/_sandbox/export?vendor=orion&table=assets&from=2026-11-18&to=2026-11-20")
    assert response.content == (exported / "orion" / "assets.jsonl").read_bytes()


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


def test_day_without_rows_returns_the_last_day_before_it(tmp_path):
    lines = '{"id":1,"asOfDate":"2026-11-18"}\n{"id":2,"asOfDate":"2026-11-20"}\n'
    folder = write_folder(tmp_path, assets=lines)
    assert folder.find_rows("assets", date(2026, 11, 19)).as_dicts() == [{"id": 1, "asOfDate": "2026-11-18"}]
    assert folder.find_rows("assets", date(2026, 11, 17)).values == []
    assert folder.closed_through == date(2026, 11, 20)


def test_absent_file_is_an_empty_table(tmp_path):
    folder = write_folder(tmp_path)
    assert all(folder.find_rows(table).values == [] for table in ORION_TABLES)


QUERIES = [
    ("Portfolio/Representatives", {"isUsed": "true"}),
    ("Portfolio/Clients", {"isActive": "true", "hasValue": "true", "accountId": 1, "_orderby": "Id"}),
    ("Portfolio/Registrations", {"isActive": "true", "accountId": 1, "_orderby": "Id"}),
    ("Portfolio/Accounts", {"hasValue": "true", "_orderby": "LastPositionDate", "createdDateStart": "2026-01-01"}),
    ("Portfolio/Accounts", {"clientId": 1, "editedStartDate": "2026-01-01", "editedEndDate": "2026-12-01"}),
    ("Portfolio/Accounts/Value", {"hasValue": "true"}),
    ("Portfolio/Assets", {"hasValue": "true", "editedStartDate": "2026-01-01", "_orderby": "Id"}),
    ("Portfolio/Transactions", {"startDate": "2026-01-01", "endDate": "2026-12-01", "status": "Complete"}),
]


def test_table_without_a_file_returns_no_row_for_every_query(start_sandbox, tmp_path):
    write_folder(tmp_path)
    served = start_sandbox(data=tmp_path)
    assert {path: served.rows(path, **params) for path, params in QUERIES} == {path: [] for path, _ in QUERIES}


@pytest.mark.parametrize("edited", ['"editedDate":null,', "", '"editedDate":"2026-11-20T10:00:00",'])
def test_row_without_an_edit_time_is_served(start_sandbox, tmp_path, edited):
    line = f'{{"id":1,{edited}"transDate":"2026-11-20"}}'
    write_folder(tmp_path, transactions=f"{line}\n")
    served = start_sandbox(data=tmp_path)
    bounds = {"editedStartDate": "2026-11-19", "editedEndDate": "2026-11-22"}
    assert served.get("Portfolio/Transactions", **bounds, _orderby="EditedDate").text == f"[{line}]"


def test_unreadable_line_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"clients\.jsonl, line 2"):
        write_folder(tmp_path, clients='{"id":1}\n{"id":\n')


def test_data_from_files_accepts_price_and_row_edits(start_sandbox, tmp_path):
    line = '{"id":1,"productId":5,"currentShares":2,"currentPrice":3,"currentValue":6,"asOfDate":"2026-11-20"}'
    write_folder(tmp_path, assets=f"{line}\n", clients='{"id":9,"name":"Ada Sample"}\n')
    served = start_sandbox(data=tmp_path)
    served.admin("orion/correct_price", product_id=5, date="2026-11-20", price=4.005)
    served.admin("orion/set_fields", table="clients", id=9, set={"name": "Ada Example"})
    assert float(served.rows("Portfolio/Assets")[0]["currentValue"]) == 8.01
    assert served.rows("Portfolio/Clients") == [{"id": 9, "name": "Ada Example"}]


@pytest.mark.parametrize(
    ("table", "line", "fault"),
    [
        ("orion/clients", '{"id":', r': "{\\"id\\":"; expected one JSON object in UTF-8'),
        ("orion/clients", '{"id":NaN}', r': "{\\"id\\":NaN}"; expected one JSON object in UTF-8'),
        ("orion/clients", "[1]", r": \[1\]; expected a JSON object"),
        ("orion/clients", '{"name":"Ada Sample"}', ", id: nothing; expected a value: every line must have one"),
        ("orion/clients", '{"id":"1001"}', ', id: "1001"; expected a whole number, such as 1001'),
        (
            "orion/clients",
            '{"id":1,"notes":[{"size":123456789012345678901234567890}]}',
            r", notes: .*; expected integers of at most 64 bits",
        ),
        (
            "docusign/templates",
            '{"templateId":"A","name":-9223372036854775809}',
            ", name: -9223372036854775809; expected integers of at most 64 bits",
        ),
        ("orion/assets", '{"id":1,"asOfDate":"soon"}', ', asOfDate: "soon"; expected a date, such as 2026-11-20'),
        ("orion/transactions", '{"id":1,"editedDate":"soon"}', ', editedDate: "soon"; expected a time, such as'),
        (
            "tamarac/holdings",
            '{"Account ID":"A","As Of Date":"2026-11-20"}',
            ', As Of Date: "2026-11-20"; expected a date, such as 11/20/2026',
        ),
        ("emoney/plans", '{"clientId":"A"}', ", planId: nothing; expected a value: every line must have one"),
    ],
)
def test_line_that_can_not_be_served_stops_the_start_with_its_file_and_place(
    start_sandbox, tmp_path, table, line, fault
):
    path = tmp_path / "data" / f"{table}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match=rf"{table}\.jsonl, line 2{fault}"):
        start_sandbox(data=tmp_path / "data")


def test_all_faults_of_all_files_are_listed_and_many_of_a_kind_are_counted(start_sandbox, tmp_path):
    write_folder(tmp_path, clients='{"id":1}\n' + '{"name":"Ada Sample"}\n' * 25, registrations="{}\n")
    with pytest.raises(ValueError, match="faults: 26") as failure:
        start_sandbox(data=tmp_path)
    lines = str(failure.value).splitlines()[1:]
    assert lines[0].startswith("orion/clients.jsonl, line 2, id: nothing")
    assert lines[19].startswith("orion/clients.jsonl, line 21, id: nothing")
    assert lines[20:] == [
        "orion/clients.jsonl, id: 5 more; expected a value: every line must have one",
        "orion/registrations.jsonl, line 1, id: nothing; expected a value: every line must have one",
    ]
