import json
from decimal import Decimal

import pytest

from sandbox.orion import fields as orion_fields
from sandbox.orion.app import PARTNERS, PASSWORD, USER

TOKEN = "/orion/api/v1/security/token"
KEYS = {"client_id": PARTNERS[0].client_id, "client_secret": PARTNERS[0].client_secret}


def test_log_in_gives_a_token_for_ten_hours(sandbox):
    response = sandbox.http.get(TOKEN, auth=(USER, PASSWORD), headers=KEYS)
    assert response.status_code == 200
    assert '"expires_in":36000.0' in response.text


@pytest.mark.parametrize(
    ("user", "password", "headers"),
    [
        (USER, "wrong", KEYS),
        ("wrong", PASSWORD, KEYS),
        (USER, PASSWORD, {}),
        (USER, PASSWORD, KEYS | {"client_secret": "wrong"}),
    ],
)
def test_log_in_with_anything_wrong_is_401_with_an_empty_body(sandbox, user, password, headers):
    response = sandbox.http.get(TOKEN, auth=(user, password), headers=headers)
    assert (response.status_code, response.content) == (401, b"")
    assert response.headers["X-OAS-CorrelationId"]


def test_call_without_a_session_is_401_with_an_empty_body(sandbox):
    sandbox.http.headers["Authorization"] = "Bearer something"
    response = sandbox.get("Portfolio/Clients")
    assert (response.status_code, response.content) == (401, b"")


def test_token_expires_after_ten_hours_of_the_clock(sandbox):
    sandbox.admin("clock", advance_seconds=35_990)
    assert sandbox.get("Portfolio/Representatives").status_code == 200
    sandbox.admin("clock", advance_seconds=20)
    assert sandbox.get("Portfolio/Representatives").status_code == 401


def test_user_is_named(sandbox):
    assert sandbox.get("Authorization/User").json()["loginUserId"] == USER


def test_paths_are_case_insensitive(sandbox):
    assert sandbox.get("PORTFOLIO/clients").content == sandbox.get("Portfolio/Clients").content


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("Portfolio/Representatives", orion_fields.REPRESENTATIVE),
        ("Portfolio/Clients", orion_fields.CLIENT),
        ("Portfolio/Registrations", orion_fields.REGISTRATION),
        ("Portfolio/Accounts", orion_fields.ACCOUNT),
        ("Portfolio/Assets", orion_fields.ASSET),
        ("Portfolio/Transactions", orion_fields.TRANSACTION),
        ("Portfolio/Accounts/Value", orion_fields.ACCOUNT_VALUE),
        ("Portfolio/AccountStatuses", orion_fields.SIMPLE),
        ("Portfolio/Registrations/Types", orion_fields.CODED),
        ("Portfolio/Custodians/Simple", orion_fields.CODED),
        ("Portfolio/FundFamilies/Simple", orion_fields.SIMPLE),
        ("Portfolio/BrokerDealers/Simple", orion_fields.SIMPLE),
    ],
)
def test_list_is_a_bare_array_of_rows_with_every_documented_field(sandbox, path, shape):
    rows = sandbox.rows(path)
    assert rows
    assert all(tuple(row) == shape.fields for row in rows)


@pytest.mark.parametrize("path", ["Clients", "Registrations", "Accounts", "Assets", "Transactions"])
def test_pages_by_id_are_the_whole_list_without_repeats(sandbox, path):
    whole = [row["id"] for row in sandbox.rows(f"Portfolio/{path}", _orderby="Id")]
    paged: list[int] = []
    size = len(whole) // 3 + 1
    while page := sandbox.rows(f"Portfolio/{path}", _orderby="Id", _top=size, _skip=len(paged)):
        paged += [row["id"] for row in page]
    assert paged == whole == sorted(set(whole))


def test_page_beyond_the_end_is_an_empty_array(sandbox):
    assert sandbox.get("Portfolio/Clients", _top=10, _skip=9999).text == "[]"


def test_accounts_take_plain_top_and_skip_and_others_do_not(sandbox):
    assert len(sandbox.rows("Portfolio/Accounts", top=3, skip=1)) == 3
    assert sandbox.get("Portfolio/Assets", top=3).status_code == 400


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Clients", "editedStartDate"),
        ("Registrations", "editedStartDate"),
        ("Transactions", "asOfDate"),
        ("Clients", "asOfDate"),
        ("Assets", "pageSize"),
        ("Assets", "$filter"),
        ("Representatives", "$top"),
        ("Custodians/Simple", "$top"),
    ],
)
def test_undocumented_parameter_is_refused(sandbox, path, name):
    response = sandbox.http.get(f"/orion/api/v1/Portfolio/{path}", params={name: "1"})
    assert response.status_code == 400
    assert name.lower() in response.json()["message"]


def test_unknown_path_is_404(sandbox):
    assert sandbox.get("Portfolio/Households").status_code == 404


def test_order_by_descends_and_select_projects(sandbox):
    rows = sandbox.rows("Portfolio/Accounts", _orderby="CurrentValue desc", _select="Id,CurrentValue", _top=5)
    assert [set(row) for row in rows] == [{"id", "currentValue"}] * 5
    values = [row["currentValue"] for row in rows]
    assert values == sorted(values, reverse=True)


def test_ssn_and_cusip_are_masked_unless_the_partner_may_see_them(sandbox):
    masked = sandbox.rows("Portfolio/Clients", _orderby="Id")[0]["ssN_TaxID"]
    hidden = {row["cusip"] for row in sandbox.rows("Portfolio/Assets") if row["cusip"]}
    sandbox.log_in(partner=1)
    clear = sandbox.rows("Portfolio/Clients", _orderby="Id")[0]["ssN_TaxID"]
    shown = {row["cusip"] for row in sandbox.rows("Portfolio/Assets") if row["cusip"]}
    assert masked == f"XXX-XX-{clear[-4:]}"
    assert hidden == {f"XXXXX{cusip[-4:]}" for cusip in shown}


def test_decimals_are_numbers_with_all_their_digits(sandbox):
    text = sandbox.get("Portfolio/Assets").text
    shares = [row["currentShares"] for row in json.loads(text, parse_float=str)]
    assert any(len(str(value).partition(".")[2]) == 8 for value in shares)
    assert any(len(str(value).partition(".")[2]) == 4 for value in shares)


def test_null_dates_are_sentinels_with_a_central_offset(sandbox):
    clients, trades = sandbox.rows("Portfolio/Clients"), sandbox.rows("Portfolio/Transactions", _top=5)
    assert "0001-01-01T00:00:00-06:00" in {row["createdDate"] for row in clients}
    assert {row["transTime"] for row in trades} == {"1900-01-01T00:00:00-06:00"}
    assert {row["editedDate"][-6:] for row in clients} <= {"-06:00", "-05:00"}


def test_enumerations_are_open(sandbox):
    assert "Other" in {row["financialType"] for row in sandbox.rows("Portfolio/Transactions")}


def test_as_of_date_gives_the_positions_of_that_day(sandbox):
    rows = sandbox.rows("Portfolio/Assets", asOfDate="10/15/2026")
    assert {row["asOfDate"] for row in rows} == {"2026-10-15T00:00:00-05:00"}


def test_as_of_date_after_the_closed_day_gives_the_closed_day(sandbox):
    rows = sandbox.rows("Portfolio/Assets", asOfDate="2026-12-01")
    assert {row["asOfDate"] for row in rows} == {"2026-11-20T00:00:00-06:00"}


def test_accounts_as_of_a_date_have_that_days_values_and_todays_descriptions(sandbox):
    now = {row["id"]: row for row in sandbox.rows("Portfolio/Accounts")}
    then = {row["id"]: row for row in sandbox.rows("Portfolio/Accounts", asOfDate="2026-09-15")}
    valued = {"currentValue", "cashBalance"}
    assert [{k: v for k, v in row.items() if k not in valued} for row in then.values()] == [
        {k: v for k, v in row.items() if k not in valued} for row in now.values()
    ]
    assert any(then[key]["currentValue"] != now[key]["currentValue"] for key in now)


def test_account_value_is_the_sum_of_its_positions(sandbox):
    totals: dict[int, Decimal] = {}
    for row in sandbox.rows("Portfolio/Assets", asOfDate="2026-11-10"):
        totals[row["accountId"]] = totals.get(row["accountId"], Decimal(0)) + row["currentValue"]
    values = {row["id"]: row["value"] for row in sandbox.rows("Portfolio/Accounts/Value/11-10-2026")}
    assert {key: value for key, value in values.items() if value} == {k: v for k, v in totals.items() if v}


def test_edited_filter_gives_exactly_the_rows_edited_in_between(sandbox):
    start, end = "2026-11-01T00:00:00-05:00", "2026-11-10T00:00:00-06:00"
    rows = sandbox.rows("Portfolio/Transactions", editedStartDate=start, editedEndDate=end)
    whole = sandbox.rows("Portfolio/Transactions")
    assert rows
    assert [row["id"] for row in rows] == [row["id"] for row in whole if start <= row["editedDate"] <= end]


def test_transactions_are_filtered_by_trade_date_status_and_asset(sandbox):
    whole = sandbox.rows("Portfolio/Transactions")
    one = next(row for row in whole if row["status"] == "Reversed")
    day = one["transDate"][:10]
    rows = sandbox.rows("Portfolio/Transactions", startDate=day, endDate=day, status="Reversed", assetId=one["assetId"])
    assert one in rows
    assert {(r["transDate"], r["status"], r["assetId"]) for r in rows} == {
        (one["transDate"], "Reversed", one["assetId"])
    }


def test_array_parameters_repeat_their_key(sandbox):
    ids = [row["id"] for row in sandbox.rows("Portfolio/Accounts", top=3)]
    assert {row["id"] for row in sandbox.rows("Portfolio/Accounts", accountId=ids)} == set(ids)


def test_single_parameter_given_twice_is_refused(sandbox):
    assert sandbox.get("Portfolio/Assets", accountId=[1, 2]).status_code == 400


def test_additional_accounts_are_returned_only_on_request(sandbox):
    client = next(row for row in sandbox.rows("Portfolio/Clients") if row["additionalAccounts"])
    own = sandbox.rows("Portfolio/Accounts", clientId=client["id"])
    all_ = sandbox.rows("Portfolio/Accounts", clientId=client["id"], includeAdditionalAccounts="true")
    assert {row["clientId"] for row in own} == {client["id"]}
    assert len(all_) == len(own) + client["additionalAccounts"]


def test_cost_basis_is_returned_only_on_request(sandbox):
    assert {row["costBasis"] for row in sandbox.rows("Portfolio/Assets")} == {None}
    assert all(row["costBasis"] is not None for row in sandbox.rows("Portfolio/Assets", includeCostBasis="true"))


def test_has_value_leaves_out_what_is_worth_nothing(sandbox):
    worthless = [row for row in sandbox.rows("Portfolio/Assets") if not row["currentValue"]]
    assert worthless
    assert sandbox.rows("Portfolio/Assets", hasValue="false") == worthless


def test_registrations_and_clients_are_found_through_an_account(sandbox):
    account = sandbox.rows("Portfolio/Accounts", top=1)[0]
    registrations = sandbox.rows("Portfolio/Registrations", accountId=account["id"])
    clients = sandbox.rows("Portfolio/Clients", accountId=account["id"])
    assert [row["id"] for row in registrations] == [account["registrationId"]]
    assert [row["id"] for row in clients] == [account["clientId"]]
