import json
import time
import uuid
from decimal import Decimal
from pathlib import Path

import jwt
import pytest

from sandbox.emoney.app import list_true_matches, read_credentials
from sandbox.emoney.login import API_KEY
from sandbox.firm.world import World
from sandbox.server.clock import Clock
from tests.running_sandbox import NOW

TOKEN, API = "/emoney/connect/token", "/emoney/public/v1/"


class EMoney:
    """A caller who is logged in."""

    def __init__(self, sandbox, state: Path) -> None:
        self.sandbox, self.key = sandbox, read_credentials(state)
        self.headers = {"apikey": self.key.api_key}

    def sign(self, **claims) -> str:
        base_claims = {"iss": self.key.client_id, "sub": self.key.client_id, "aud": self.sandbox.url + TOKEN}
        base_claims |= {"jti": str(uuid.uuid4()), "exp": int(time.time()) + 300}
        return jwt.encode(base_claims | claims, self.key.private_key, algorithm="RS256")

    def request_token(self, assertion: str, **changed):
        form = {
            "grant_type": "client_credentials",
            "client_id": self.key.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        return self.sandbox.http.post(TOKEN, data=form | changed)

    def log_in(self) -> "EMoney":
        self.headers["Authorization"] = f"Bearer {self.request_token(self.sign()).json()['access_token']}"
        return self

    def get(self, path: str, **params):
        return self.sandbox.http.get(API + path, params=params, headers=self.headers)

    def rows(self, path: str, **params):
        response = self.get(path, **params)
        assert response.status_code == 200, response.text
        return json.loads(response.text, parse_float=Decimal)

    def find_planned(self) -> tuple[str, str]:
        """Return the path of a client and of a plan that can be calculated."""
        for client in self.rows("clients"):
            path = f"clients/{client['clientId']}"
            for plan in self.rows(f"{path}/plans"):
                if self.get(f"{path}/plans/{plan['planId']}/projection/montecarlo").status_code == 200:
                    return path, f"{path}/plans/{plan['planId']}"
        raise AssertionError("no plan can be calculated")


@pytest.fixture
def emoney(start_sandbox, tmp_path) -> EMoney:
    return EMoney(start_sandbox(), tmp_path / "state").log_in()


def test_token_is_given_for_an_assertion_signed_with_the_certificate_s_key(emoney):
    token = emoney.request_token(emoney.sign()).json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://elsewhere.example/token"},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 3600},
        {"iss": "testbank"},
        {"sub": "testbank"},
        {"jti": None},
    ],
)
def test_assertion_with_a_wrong_claim_is_refused(emoney, claims):
    response = emoney.request_token(emoney.sign(**claims))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_client")


def test_assertion_is_good_once(emoney):
    assertion = emoney.sign()
    assert [emoney.request_token(assertion).status_code for _ in range(2)] == [200, 400]


def test_assertion_signed_with_another_key_is_refused(emoney, tmp_path):
    other = EMoney(emoney.sandbox, tmp_path / "other")
    assert other.request_token(other.sign()).json()["error"] == "invalid_client"


def test_unknown_grant_or_caller_is_refused(emoney):
    assert emoney.request_token(emoney.sign(), grant_type="password").json()["error"] == "unsupported_grant_type"
    assert emoney.request_token(emoney.sign(), client_id="testbank").json()["error"] == "invalid_client"


def test_every_call_needs_token_and_key(emoney):
    emoney.headers["apikey"] = "wrong"
    assert (emoney.get("clients").status_code, emoney.get("clients").json()) == (401, {"error": "invalid_apikey"})
    emoney.headers = {"apikey": API_KEY}
    assert (emoney.get("clients").status_code, emoney.get("clients").json()) == (401, {"error": "invalid_token"})


def test_token_ages_by_the_sandbox_s_clock(emoney):
    emoney.sandbox.admin("clock", advance_seconds=3590)
    assert emoney.get("clients").status_code == 200
    emoney.sandbox.admin("clock", advance_seconds=20)
    assert emoney.get("clients").status_code == 401


def test_token_can_be_made_to_expire(emoney):
    emoney.sandbox.http.post("/_sandbox/faults", json={"route": API + "clients", "kind": "token_expired", "times": 1})
    assert emoney.get("clients").status_code == 401
    assert emoney.log_in().get("clients").status_code == 200


def test_pages_are_all_clients_once_in_the_order_of_their_ids(emoney):
    whole = emoney.rows("clients")
    pages = [emoney.rows("clients", page=page, pageSize=7) for page in range(1, 6)]
    ids = [row["clientId"] for page in pages for row in page]
    assert ids == sorted(ids) == [row["clientId"] for row in whole]
    assert len(pages[-1]) < 7


def test_rows_come_and_go_between_pages(emoney):
    whole = [row["clientId"] for row in emoney.rows("clients")]
    emoney.sandbox.http.post("/_sandbox/faults", json={"route": API + "clients", "kind": "rows_removed", "count": 2})
    assert [row["clientId"] for row in emoney.rows("clients", page=2, pageSize=5)] == whole[7:12]


def test_undocumented_parameter_is_refused(emoney):
    assert emoney.get("clients", updatedSince="2026-01-01").status_code == 400
    assert emoney.get("clients", page=0).status_code == 400


def test_responses_are_repeatable_except_the_simulation(emoney):
    client, plan = emoney.find_planned()
    for path in ("clients", f"{client}/plans", f"{client}/accounts", f"{plan}/expenses"):
        assert emoney.get(path).content == emoney.get(path).content
    first, second = (emoney.rows(f"{plan}/projection/montecarlo") for _ in range(2))
    assert first != second
    assert abs(first["probabilityOfSuccess"] - second["probabilityOfSuccess"]) < Decimal("0.05")


def test_simulations_are_the_same_series_after_a_restart(emoney, start_sandbox, tmp_path):
    path = f"{emoney.find_planned()[1]}/projection/montecarlo"
    again = EMoney(start_sandbox(), tmp_path / "state").log_in()
    again.find_planned()
    assert emoney.rows(path) == again.rows(path)


def test_goals_of_the_simulation_are_expenses_that_can_be_looked_up(emoney):
    for client in emoney.rows("clients"):
        for plan in emoney.rows(f"clients/{client['clientId']}/plans"):
            path = f"clients/{client['clientId']}/plans/{plan['planId']}"
            goal_ids = {row["expenseId"] for row in emoney.rows(f"{path}/expenses") if row["isGoal"]}
            response = emoney.get(f"{path}/projection/montecarlo")
            if goal_ids and response.status_code == 200:
                assert {goal["goalId"] for goal in response.json()["otherGoals"]} == goal_ids
                funding = emoney.rows(f"{path}/projection/goalfunding/{goal_ids.pop()}")
                assert list(funding) == ["goalTotalFunding", "goalTotalExpense"]
                return


def test_one_plan_of_a_client_is_the_base_plan(emoney):
    clients = emoney.rows("clients")[:20]
    plans = [emoney.rows(f"clients/{client['clientId']}/plans") for client in clients]
    assert {sum(plan["isBase"] for plan in each) for each in plans if each} == {1}
    assert max(map(len, plans)) <= 3


def test_plan_that_cannot_be_calculated_returns_409(emoney):
    path = f"{emoney.find_planned()[1]}/projection/montecarlo"
    emoney.sandbox.http.post("/_sandbox/faults", json={"route": API + path, "kind": "not_calculated", "times": 1})
    response = emoney.get(path)
    assert (response.status_code, response.json()) == (409, {"message": "plan may not be calculated yet"})


def test_results_drift_weekly_and_updates_show_when_a_plan_changed(emoney):
    mean, updated = [], []
    client, plan = emoney.find_planned()
    for day in ("2026-09-18", "2026-10-16", "2026-11-20"):
        emoney.sandbox.admin("orion/closed_through", date=day)
        mean.append(emoney.rows(f"{plan}/projection/goalfunding/retirement")["goalTotalFunding"])
        updated += [row["updatedDate"] for row in emoney.rows(f"{client}/plans") if row["planId"] in plan]
    assert len(set(mean)) == 3
    assert updated == sorted(updated)
    assert updated[-1] < "2026-11-21"


def test_accounts_are_orion_s_by_their_number_and_others_held_away(emoney):
    numbers = {row["number"]: row for row in emoney.sandbox.rows("Portfolio/Accounts")}
    client = emoney.rows("clients")
    accounts = [a for row in client[:25] for a in emoney.rows(f"clients/{row['clientId']}/accounts")]
    copies = [account for account in accounts if account["accountNumber"] in numbers]
    linked = [account for account in copies if account["isLinked"]]
    assert linked
    assert all(a["value"] == numbers[a["accountNumber"]]["currentValue"] for a in linked)
    assert any(account["accountNumber"] is None for account in accounts)
    assert len(copies) < len(accounts)


def test_sixty_calls_pass_in_a_minute_and_the_next_is_refused_and_reported(emoney):
    statuses = [emoney.get("clients", pageSize=1).status_code for _ in range(61)]
    assert (set(statuses[:60]), statuses[60]) == ({200}, 429)
    assert emoney.sandbox.http.get("/_sandbox/calls").json()["violations"] == {"emoney": 1}
    emoney.sandbox.admin("clock", advance_seconds=61)
    assert emoney.get("clients").status_code == 200
    assert "Retry-After" not in emoney.get("clients").headers


def test_simulations_are_also_limited_by_the_hour(emoney):
    path = f"{emoney.find_planned()[1]}/projection/montecarlo"
    emoney.sandbox.http.delete("/_sandbox/calls")
    statuses = []
    for call in range(251):
        if call % 50 == 0:
            emoney.sandbox.admin("clock", advance_seconds=61)
        statuses.append(emoney.get(path).status_code)
    assert (set(statuses[:250]), statuses[250]) == ({200}, 429)
    assert emoney.sandbox.http.get("/_sandbox/calls").json()["violations"] == {"emoney_monte_carlo": 1}


def test_deleted_client_is_gone_for_good(emoney, start_sandbox, tmp_path):
    client = emoney.rows("clients")[0]["clientId"]
    emoney.sandbox.admin("emoney/delete_client", client_id=client)
    assert client not in [row["clientId"] for row in emoney.rows("clients")]
    assert len(emoney.rows("clients", pageSize=5)) == 5
    assert emoney.get(f"clients/{client}/plans").status_code == 404
    again = EMoney(start_sandbox(), tmp_path / "state").log_in()
    assert again.get(f"clients/{client}/accounts").status_code == 404


def test_changed_plan_has_new_amounts_results_and_date(emoney):
    client, plan = emoney.find_planned()
    expense = emoney.rows(f"{plan}/expenses")[0]["expenseId"]
    plan_id = plan.rpartition("/")[2]
    emoney.sandbox.admin("emoney/change_plan", plan_id=plan_id, amounts={expense: 99000.5}, probability=0.12)
    assert emoney.rows(f"{plan}/expenses")[0]["amount"] == Decimal("99000.5")
    assert emoney.rows(f"{plan}/projection/montecarlo")["probabilityOfSuccess"] < Decimal("0.2")
    changed = next(row for row in emoney.rows(f"{client}/plans") if row["planId"] == plan_id)
    assert changed["updatedDate"].startswith("2026-11-20T23:")


def test_edited_field_is_served_and_orions_books_open_after_a_restart(emoney, start_sandbox, tmp_path):
    client = emoney.rows("clients")[0]
    emoney.sandbox.admin("emoney/set_fields", table="clients", id=client["clientId"], set={"email": "new@example.org"})
    emoney.sandbox.admin("emoney/delete", table="plans", id="none")
    again = start_sandbox()
    assert EMoney(again, tmp_path / "state").log_in().rows("clients")[0] == client | {"email": "new@example.org"}
    assert again.rows("Portfolio/Clients") == emoney.sandbox.rows("Portfolio/Clients")


def test_unknown_edit_is_refused(emoney):
    assert emoney.sandbox.http.post("/_sandbox/emoney/explode", json={}).status_code == 400
    assert (
        emoney.sandbox.http.post("/_sandbox/emoney/set_fields", json={"table": "none", "id": 1, "set": {}}).status_code
        == 400
    )
    assert emoney.sandbox.http.post("/_sandbox/nobody/set_fields", json={}).status_code == 404


@pytest.mark.parametrize("path", ["clients", "clients/*/plans/*/expenses", "clients/*/plans/*/projection/montecarlo"])
def test_row_faults_and_transport_faults_strike(emoney, path):
    plan = emoney.find_planned()[1]
    real = path.replace("clients/*/plans/*", plan)
    emoney.sandbox.http.post("/_sandbox/faults", json={"route": API + path, "kind": "field_added", "field": "brandNew"})
    rows = emoney.rows(real)
    assert (rows[0] if isinstance(rows, list) else rows)["brandNew"] == "new"
    emoney.sandbox.http.post("/_sandbox/faults", json={"route": API + path, "kind": "server_error", "times": 1})
    assert emoney.get(real).status_code == 503


def test_true_matches_name_the_owner_of_each_record(emoney, tmp_path):
    clock = Clock()
    clock.set(NOW)
    matches = list_true_matches(World(tmp_path / "state", clock, households=40))
    clients = {row["clientId"]: row for row in emoney.rows("clients")}
    orion = {f"household:{row['id']}": row for row in emoney.sandbox.rows("Portfolio/Clients")}
    firm = {f"account:{row['id']}": row["number"] for row in emoney.sandbox.rows("Portfolio/Accounts")}
    households = {id_.partition(":")[2]: of for id_, of in matches if of.startswith("household:")}
    assert set(households) == set(clients)
    assert "household:1001" in households.values()
    linked = [(row["externalId"], households[id_]) for id_, row in clients.items() if row["externalId"]]
    assert linked
    assert all(external == of.replace("household", "orion") for external, of in linked)
    assert set(households.values()) <= set(orion)
    served = {
        a["accountId"]: a["accountNumber"] for id_ in list(clients)[:9] for a in emoney.rows(f"clients/{id_}/accounts")
    }
    copies = [(id_.partition(":")[2], firm[of]) for id_, of in matches if id_.startswith("accounts:")]
    assert all(served[id_] in (number, None) for id_, number in copies if id_ in served)


def test_own_data_is_served_instead(start_sandbox, tmp_path):
    folder = tmp_path / "data" / "emoney"
    folder.mkdir(parents=True)
    (folder / "clients.jsonl").write_text('{"clientId":"b","own":1.50}\n{"clientId":"a"}\n')
    (folder / "plans.jsonl").write_text('{"clientId":"a","planId":"p","name":"Mine"}\n')
    (folder / "projections.jsonl").write_text('{"clientId":"a","planId":"p","probabilityOfSuccess":0.5}\n')
    served = EMoney(start_sandbox(data=tmp_path / "data"), tmp_path / "state").log_in()
    assert served.get("clients").text == '[{"clientId":"a"},{"clientId":"b","own":1.50}]'
    assert served.rows("clients/a/plans") == [{"planId": "p", "name": "Mine"}]
    assert 0.45 < served.get("clients/a/plans/p/projection/montecarlo").json()["probabilityOfSuccess"] < 0.55
    assert served.rows("clients/b/accounts") == []
