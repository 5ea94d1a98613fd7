import json
from decimal import Decimal

import pytest

from sandbox.firm.households import Firm
from sandbox.firm.world import World
from sandbox.nitrogen.app import CLIENT_ID, CLIENT_SECRET, list_refresh_tokens, list_true_matches
from sandbox.nitrogen.login import write_refresh_token
from sandbox.server.clock import Clock
from tests.running_sandbox import LAST, NOW

API = "/nitrogen/ap/v1/"
TOKEN = API + "oauthpro/token"
FIRST = list_refresh_tokens(Firm(7, 40, LAST))


class Nitrogen:
    """A caller who acts for one advisor after another."""

    def __init__(self, sandbox) -> None:
        self.sandbox, self.refresh_tokens, self.tokens = sandbox, dict(FIRST), {}

    def refresh(self, token: str, **changed):
        form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        return self.sandbox.http.post(TOKEN, data=form | {"refresh_token": token} | changed)

    def log_in(self) -> "Nitrogen":
        for advisor, token in self.refresh_tokens.items():
            tokens = self.refresh(token).json()
            self.refresh_tokens[advisor], self.tokens[advisor] = tokens["refresh_token"], tokens["access_token"]
        return self

    def get(self, table: str, advisor: int = 8101, **params):
        headers = {"Authorization": f"Bearer {self.tokens[advisor]}"}
        return self.sandbox.http.get(API + table, headers=headers, params=params)

    def rows(self, table: str, advisor: int | None = None):
        rows = []
        for each in [advisor] if advisor else self.tokens:
            response = self.get(table, each)
            assert response.status_code == 200, response.text
            body = json.loads(response.text, parse_float=Decimal)
            rows += body if table == "clients" else body["data"]
        return rows

    def fault(self, kind: str, path: str, **options) -> None:
        self.sandbox.http.post("/_sandbox/faults", json={"route": API + path, "kind": kind} | options)


@pytest.fixture
def nitrogen(start_sandbox) -> Nitrogen:
    return Nitrogen(start_sandbox()).log_in()


def test_every_advisor_has_a_first_refresh_token(nitrogen):
    assert list(FIRST) == [8101, 8102]
    assert nitrogen.refresh_tokens != FIRST


def test_refresh_gives_another_token_that_works_after_a_restart(nitrogen, start_sandbox):
    response = Nitrogen(start_sandbox()).refresh(nitrogen.refresh_tokens[8101])
    assert response.status_code == 200
    assert set(response.json()) == {"access_token", "refresh_token", "expires_in", "scopes"}


def test_refresh_token_used_again_ends_the_grant_of_that_advisor_alone(nitrogen):
    again = nitrogen.refresh(FIRST[8101])
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    assert nitrogen.refresh(nitrogen.refresh_tokens[8101]).json() == {"error": "invalid_grant"}
    assert nitrogen.get("clients", 8101).status_code == 401
    assert nitrogen.get("clients", 8102).status_code == 200
    assert nitrogen.refresh(nitrogen.refresh_tokens[8102]).status_code == 200


def test_advisor_can_grant_access_anew(nitrogen):
    nitrogen.refresh(FIRST[8101])
    token = nitrogen.sandbox.admin("nitrogen/connect", advisor_user_id=8101)["refresh_token"]
    assert nitrogen.refresh(FIRST[8101]).status_code == 400
    assert nitrogen.refresh(token).status_code == 200


@pytest.mark.parametrize("token", ["", "r8101-1-0-000000000000000000000000", write_refresh_token(9999)])
def test_forged_refresh_token_is_refused_and_ends_nothing(nitrogen, token):
    assert nitrogen.refresh(token).json() == {"error": "invalid_grant"}
    assert nitrogen.get("clients").status_code == 200


def test_wrong_secret_or_grant_spends_no_refresh_token(nitrogen):
    token = nitrogen.refresh_tokens[8101]
    assert nitrogen.refresh(token, client_secret="wrong").status_code == 401
    assert nitrogen.refresh(token, grant_type="password").json() == {"error": "unsupported_grant_type"}
    assert nitrogen.refresh(token).status_code == 200


def test_access_token_ages_by_the_sandbox_s_clock(nitrogen):
    nitrogen.sandbox.admin("clock", advance_seconds=3601)
    assert nitrogen.get("clients").status_code == 401


def test_every_list_holds_the_advisor_s_own_records(nitrogen):
    for advisor in FIRST:
        clients = {row["id"] for row in nitrogen.rows("clients", advisor)}
        assert {row["advisor_user_id"] for row in nitrogen.rows("clients", advisor)} == {advisor}
        for table in ("portfolios", "questionnaires"):
            assert {row["client_id"] for row in nitrogen.rows(table, advisor)} <= clients


def test_envelopes_differ_as_they_do_in_life(nitrogen):
    assert isinstance(nitrogen.get("clients").json(), list)
    assert list(nitrogen.get("portfolios").json()) == list(nitrogen.get("questionnaires").json()) == ["data"]


def test_responses_are_repeatable(nitrogen):
    for table in ("clients", "portfolios", "questionnaires"):
        assert nitrogen.get(table).content == nitrogen.get(table).content


def test_client_s_risk_number_is_that_of_the_latest_finished_questionnaire(nitrogen):
    answered = {row["id"]: None for row in nitrogen.rows("clients")}
    questionnaires = nitrogen.rows("questionnaires")
    for row in sorted(questionnaires, key=lambda row: row["timestamp"] or ""):
        if (row["completed"], row["archived"], row["deleted"]) == ("1", "0", "0"):
            answered[row["client_id"]] = row["risk_number"]
    assert {row["id"]: row["risk_number"] for row in nitrogen.rows("clients")} == answered
    assert None in answered.values()
    assert any(row["completed"] == "0" and row["risk_number"] is None for row in questionnaires)


def test_portfolio_total_is_what_its_accounts_are_worth_in_whole_dollars(nitrogen):
    rows = nitrogen.rows("portfolios")
    assert {row["type"] for row in rows} == {"current", "proposed"}
    assert all(row["total"] == int(sum(account["total"] for account in row["accounts"])) for row in rows)
    assert all(row["analysis"] is None or 1 <= row["analysis"]["risk_number"] <= 99 for row in rows)


def test_couples_are_apart_or_in_one_name(start_sandbox):
    sandbox = start_sandbox(households=200)
    token = Nitrogen(sandbox).refresh(write_refresh_token(8101)).json()["access_token"]
    rows = sandbox.http.get(API + "clients", headers={"Authorization": f"Bearer {token}"}).json()
    assert any(" & " in row["fname"] for row in rows)
    assert any(row["id"] % 2 == 0 for row in rows)


def test_analysis_changes_from_night_to_night(nitrogen):
    nights = []
    for day in ("2026-11-18", "2026-11-20"):
        nitrogen.sandbox.admin("orion/closed_through", date=day)
        rows = nitrogen.rows("portfolios")
        nights.append([(row["analysis"] or {}).get("risk_number") for row in rows] + [row["total"] for row in rows])
    assert nights[0][: len(rows)] != nights[1][: len(rows)]
    assert nights[0][len(rows) :] != nights[1][len(rows) :]


def test_questionnaires_come_with_time(nitrogen):
    late = len(nitrogen.rows("questionnaires"))
    nitrogen.sandbox.admin("orion/closed_through", date="2026-08-14")
    assert len(nitrogen.rows("questionnaires")) < late


def test_completed_questionnaire_sets_the_client_s_risk_number_for_good(nitrogen, start_sandbox):
    open_one = next(row for row in nitrogen.rows("questionnaires") if row["completed"] == "0")
    completion = {"questionnaire_id": open_one["id"], "client_id": open_one["client_id"], "risk_number": 77}
    nitrogen.sandbox.admin("nitrogen/complete_questionnaire", **completion)
    again = Nitrogen(start_sandbox())
    again.refresh_tokens = nitrogen.refresh_tokens
    again.log_in()
    done = next(row for row in again.rows("questionnaires") if row["id"] == open_one["id"])
    assert (done["completed"], done["risk_number"], done["timestamp"][:10]) == ("1", 77, "2026-11-20")
    client = next(row for row in again.rows("clients") if row["id"] == open_one["client_id"])
    assert (client["risk_number"], client["risk_metric"]["value"]) == (77, 77)


def test_impossible_risk_number_is_refused(nitrogen):
    wrong = {"questionnaire_id": 1, "client_id": 1, "risk_number": 100}
    assert nitrogen.sandbox.http.post("/_sandbox/nitrogen/complete_questionnaire", json=wrong).status_code == 400


def test_response_of_200_can_be_an_error(nitrogen):
    nitrogen.fault("error_in_body", "clients", times=1)
    response = nitrogen.get("clients")
    assert (response.status_code, response.json()["error"]) == (200, "server_error")
    assert nitrogen.get("clients").json()[0]["id"] == 500_001


def test_error_in_the_body_of_a_refresh_spends_no_token(nitrogen):
    nitrogen.fault("error_in_body", "oauthpro/token", times=1)
    token = nitrogen.refresh_tokens[8101]
    assert nitrogen.refresh(token).json()["error"] == "server_error"
    assert nitrogen.refresh(token).status_code == 200


def test_undocumented_parameter_is_refused(nitrogen):
    assert nitrogen.get("clients", page=1).status_code == 400


@pytest.mark.parametrize("table", ["clients", "portfolios", "questionnaires"])
def test_row_faults_and_transport_faults_strike(nitrogen, table):
    nitrogen.fault("field_renamed", table, field="id", to="identifier")
    assert "identifier" in nitrogen.rows(table)[0]
    nitrogen.fault("too_many_requests", table, times=1)
    assert nitrogen.get(table).status_code == 429


def test_true_matches_name_the_owner_of_each_client(nitrogen, tmp_path):
    clock = Clock()
    clock.set(NOW)
    matches = list_true_matches(World(tmp_path / "state", clock, households=40))
    rows = nitrogen.rows("clients")
    households = dict(pair for pair in matches if pair[1].startswith("household:"))
    assert {f"clients:{row['id']}" for row in rows} == set(households)
    linked = [(row["id"], each["ex_id_1"]) for row in rows for each in row["integrations"]]
    assert all(households[f"clients:{id_}"] == f"household:{external}" for id_, external in linked)
    couples = [f"clients:{row['id']}" for row in rows if " & " in row["fname"]]
    assert all(sum(id_ == couple and of.startswith("person:") for id_, of in matches) == 2 for couple in couples)


def test_own_data_is_served_instead(start_sandbox, tmp_path):
    folder = tmp_path / "data" / "nitrogen"
    folder.mkdir(parents=True)
    (folder / "clients.jsonl").write_text('{"household":1,"advisor_user_id":8101,"id":9,"risk_number":54}\n')
    (folder / "portfolios.jsonl").write_text('{"household":1,"advisor_user_id":8101,"id":3,"total":10.50}\n')
    served = Nitrogen(start_sandbox(data=tmp_path / "data")).log_in()
    assert served.rows("clients") == [{"advisor_user_id": 8101, "id": 9, "risk_number": 54}]
    assert served.get("portfolios").text == '{"data":[{"id":3,"total":10.50}]}'
