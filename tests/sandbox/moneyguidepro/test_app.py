import json
import re
from decimal import Decimal

import pytest

from sandbox.firm.world import World
from sandbox.moneyguidepro.app import INSTITUTION_ID, PASSWORD, USER, list_true_matches
from sandbox.moneyguidepro.goals import write_money
from sandbox.server.clock import Clock
from tests.running_sandbox import NOW

API = "/moneyguidepro/api/Households"
GOAL = re.compile(r"-?\$[\d,]+ / yr from \d{4}|\$[\d.,]+M? in \d{4}|\d{2} \(\d{4}\)")


class MoneyGuidePro:
    """A caller of the institution."""

    def __init__(self, sandbox) -> None:
        self.sandbox = sandbox

    def get(self, path: str = "", auth=(USER, PASSWORD), institution=INSTITUTION_ID, **params):
        headers = {"institutionId": institution} if institution else {}
        return self.sandbox.http.get(API + path, auth=auth, headers=headers, params=params)

    def rows(self, path: str = "", **params):
        response = self.get(path, **params)
        assert response.status_code == 200, response.text
        return json.loads(response.text, parse_float=Decimal)

    def each(self, part: str):
        return [self.rows(f"/{row['householdId']}/{part}") for row in self.rows()]

    def fault(self, kind: str, path: str, **options) -> None:
        self.sandbox.http.post("/_sandbox/faults", json={"route": API + path, "kind": kind} | options)


@pytest.fixture
def planner(sandbox) -> MoneyGuidePro:
    return MoneyGuidePro(sandbox)


@pytest.fixture
def own_planner(start_sandbox) -> MoneyGuidePro:
    """A caller of a fresh sandbox, whose records the test may change."""
    return MoneyGuidePro(start_sandbox())


@pytest.mark.parametrize("wrong", [{"auth": (USER, "wrong")}, {"institution": "1"}, {"institution": ""}])
def test_wrong_login_is_401_with_an_empty_body(planner, wrong):
    for path in ("", "/70001/Assets"):
        response = planner.get(path, **wrong)
        assert (response.status_code, response.content) == (401, b"")


def test_households_are_a_bare_array_with_couples_in_one_name(planner):
    rows = planner.rows()
    assert rows[0]["householdId"] == 70001
    couples = [row for row in rows if len(row["participants"]) == 2]
    assert any(re.fullmatch(r".+ & \S.* \S+", row["name"]) for row in couples)
    assert all(" & " in row["name"] for row in couples)
    assert all(re.fullmatch(r"\d\d/\d\d/\d{4}", p["dob"]) for row in rows for p in row["participants"] if p["dob"])


def test_responses_are_repeatable(planner):
    for path in ("", "/70001/MonteCarloMeter", "/70001/PlanSummary", "/70001/Networth", "/70001/Assets"):
        assert planner.get(path).content == planner.get(path).content


def test_probability_is_a_text_of_several_forms_or_null_without_a_recommended_scenario(start_sandbox, tmp_path):
    planner = MoneyGuidePro(start_sandbox(households=200))
    meters, summaries = planner.each("MonteCarloMeter"), planner.each("PlanSummary")
    texts = [meter["probabilityOfSuccess"] for meter in meters]
    assert {re.sub(r"\d+", "n", text) for text in texts if text} == {"n", "n%", "<n"}
    assert [text is None for text in texts] == [s["results"]["recommended"] is None for s in summaries]
    assert 0.1 < texts.count(None) / len(texts) < 0.5
    summary = next(s for s in summaries if s["results"]["recommended"])
    assert summary["results"]["recommended"]["calculations"][0]["description"] == "Monte Carlo"


def test_goals_are_texts_of_known_forms_but_for_a_few(start_sandbox):
    summaries = MoneyGuidePro(start_sandbox(households=200)).each("PlanSummary")
    topics = [topic for s in summaries for category in s["categories"] for topic in category["topics"]]
    texts = [item["current"] for topic in topics for item in topic["items"]]
    odd = [text for text in texts if not GOAL.fullmatch(text)]
    assert 0 < len(odd) / len(texts) < 0.03
    assert any("M in" in text for text in texts)


@pytest.mark.parametrize(
    ("amount", "text"), [("85000", "$85,000"), ("-5000", "-$5,000"), ("1200000", "$1.2M"), ("2000000", "$2M")]
)
def test_money_is_written_for_people(amount, text):
    assert write_money(Decimal(amount)) == text


def test_net_worth_is_the_sum_of_its_parts_and_of_the_assets(planner):
    for row in planner.rows():
        worth = planner.rows(f"/{row['householdId']}/Networth")
        parts = [worth[name] for name in ("investmentAssets", "otherAssets", "liabilities")]
        assert all(p["totalValue"] == sum(c["totalValue"] for c in p["categories"]) for p in parts)
        assert worth["networth"] == parts[0]["totalValue"] + parts[1]["totalValue"] - parts[2]["totalValue"]
        assets = planner.rows(f"/{row['householdId']}/Assets")
        assert parts[0]["totalValue"] == sum(asset["currentValue"] for asset in assets)


def test_some_refreshes_failed_and_their_values_are_old(start_sandbox):
    planner = MoneyGuidePro(start_sandbox(households=200))
    statuses = [worth["refreshPositionsResponse"]["status"] for worth in planner.each("Networth")]
    assert 0 < len(statuses) - statuses.count("Success") < 0.2 * len(statuses)
    failed = planner.rows()[next(n for n, status in enumerate(statuses) if status != "Success")]
    old = {
        row["number"]: row["currentValue"] for row in planner.sandbox.rows("Portfolio/Accounts", asOfDate="2026-11-13")
    }
    new = {row["number"]: row["currentValue"] for row in planner.sandbox.rows("Portfolio/Accounts")}
    copies = [a for a in planner.rows(f"/{failed['householdId']}/Assets") if a["accountNumber"] in new]
    assert any(a["currentValue"] == old[a["accountNumber"]] != new[a["accountNumber"]] for a in copies)


def test_refresh_can_be_made_to_fail(planner):
    planner.fault("refresh_failed", "/70001/Networth", status="Error", times=1)
    assert [planner.rows("/70001/Networth")["refreshPositionsResponse"]["status"] for _ in range(2)] == [
        "Error",
        "Success",
    ]


def test_unknown_household_and_undocumented_parameter_are_refused(planner):
    assert planner.get("/1/Networth").status_code == 404
    assert planner.get("/none/Networth").status_code == 404
    assert planner.get("", page=1).status_code == 400
    assert planner.get("/70001/MonteCarloMeter", includeImage="false").status_code == 200
    assert planner.get("/70001/MonteCarloMeter", includeImage="true").status_code == 400


@pytest.mark.parametrize("part", ["", "/70001/MonteCarloMeter", "/70001/PlanSummary", "/70001/Assets"])
def test_row_faults_and_transport_faults_strike(planner, part):
    planner.fault("field_added", part, field="brandNew")
    rows = planner.rows(part)
    assert (rows[0] if isinstance(rows, list) else rows)["brandNew"] == "new"
    planner.fault("html_page", part, times=1)
    assert planner.get(part).headers["Content-Type"].startswith("text/html")


def test_results_drift_with_the_business_date(own_planner):
    results = []
    for day in ("2026-09-18", "2026-10-16", "2026-11-20"):
        own_planner.sandbox.admin("orion/closed_through", date=day)
        results.append([s["results"]["current"] for s in own_planner.each("PlanSummary")])
    assert results[0] != results[1] != results[2]


def test_changed_plan_and_edited_field_persist(own_planner, start_sandbox):
    admin = own_planner.sandbox.admin
    admin("moneyguidepro/change_plan", household_id=70001, probability="<50")
    admin("moneyguidepro/set_fields", table="households", id=70001, set={"name": "G. Example"})
    again = MoneyGuidePro(start_sandbox())
    assert again.rows("/70001/MonteCarloMeter")["probabilityOfSuccess"] == "<50"
    household = again.rows()[0]
    assert (household["name"], household["lastModified"][:14]) == ("G. Example", "2026-11-20T23:")


def test_true_matches_name_the_owner_of_each_record(planner, tmp_path):
    clock = Clock()
    clock.set(NOW)
    (tmp_path / "other").mkdir()
    matches = list_true_matches(World(tmp_path / "other", clock, households=40))
    rows = planner.rows()
    households = {id_: of for id_, of in matches if id_.startswith("households:")}
    assert {f"households:{row['householdId']}" for row in rows} == set(households)
    linked = [row for row in rows if row["integrationKey"]]
    assert all(
        households[f"households:{r['householdId']}"] == r["integrationKey"].replace("orion", "household")
        for r in linked
    )
    people = {id_ for id_, of in matches if of.startswith("person:")}
    assert {f"participants:{p['participantId']}" for row in rows for p in row["participants"]} == people


def test_own_data_is_served_instead(start_sandbox, tmp_path):
    folder = tmp_path / "data" / "moneyguidepro"
    folder.mkdir(parents=True)
    (folder / "households.jsonl").write_text('{"householdId":5,"name":"A & B Sample"}\n')
    (folder / "meters.jsonl").write_text('{"householdId":5,"probabilityOfSuccess":"82%"}\n')
    served = MoneyGuidePro(start_sandbox(data=tmp_path / "data"))
    assert served.rows() == [{"householdId": 5, "name": "A & B Sample"}]
    assert served.rows("/5/MonteCarloMeter") == {"probabilityOfSuccess": "82%"}
    assert (served.rows("/5/Assets"), served.get("/5/Networth").status_code) == ([], 404)
