"""Composite calls: composite, graph, batch, tree."""

import pytest

KEY = "Tributary_Key__c"
DATA = "/services/data/v66.0"


def part(method="GET", path="/limits", ref="one", **more):
    return {"method": method, "url": f"{DATA}{path}", "referenceId": ref} | more


def person(ref, name="Ada Sample", **more):
    return part("POST", "/sobjects/Account", ref, body={"Name": name} | more)


def count(org, sobject="Account"):
    return org.call("GET", "/query", params={"q": f"SELECT COUNT() FROM {sobject}"}).json()["totalSize"]


@pytest.mark.parametrize(
    "parts",
    [
        [{"method": "GET", "url": f"{DATA}/limits"}],
        ["GET /limits"],
        [None],
        [part(method=None)],
        [part() | {"url": 5}],
        [part(ref="with-a-hyphen")],
        [part(), part()],
        "none",
    ],
)
def test_composite_with_a_malformed_part_is_refused_as_a_whole(empty_org, parts):
    response = empty_org.call("POST", "/composite", json={"compositeRequest": parts})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def test_an_address_that_is_none_refuses_its_part_alone(empty_org):
    parts = [part(ref="bad") | {"url": "http://["}, part(ref="good")]
    body = empty_org.call("POST", "/composite", json={"compositeRequest": parts}).json()
    assert [each["httpStatusCode"] for each in body["compositeResponse"]] == [400, 200]


@pytest.mark.parametrize("path", ["/composite", "/composite/graph", "/composite/batch"])
def test_a_call_of_calls_is_no_part_of_one(empty_org, path):
    body = empty_org.call("POST", "/composite", json={"compositeRequest": [part("POST", path)]}).json()
    assert body["compositeResponse"][0]["body"][0]["errorCode"] == "BAD_REQUEST"


def test_composite_returns_the_location_of_a_new_record(org):
    [created] = org.call("POST", "/composite", json={"compositeRequest": [person("ada")]}).json()["compositeResponse"]
    assert created["httpHeaders"] == {"Location": f"{DATA}/sobjects/Account/{created['body']['id']}"}
    assert org.http.get(created["httpHeaders"]["Location"]).json()["Name"] == "Ada Sample"


def test_each_graph_is_done_as_a_whole_or_not_at_all(org):
    contact = part("POST", "/sobjects/Contact", "son", body={"LastName": "Sample", "AccountId": "@{ada.id}"})
    wrong = part("POST", "/sobjects/Contact", "son", body={"AccountId": "@{ada.id}"})
    graphs = [
        {"graphId": "good", "compositeRequest": [person("ada"), contact]},
        {"graphId": "bad", "compositeRequest": [person("ada"), wrong]},
    ]
    good, bad = org.call("POST", "/composite/graph", json={"graphs": graphs}).json()["graphs"]
    assert (good["graphId"], good["isSuccessful"], bad["isSuccessful"]) == ("good", True, False)
    ids = [each["body"]["id"] for each in good["graphResponse"]["compositeResponse"]]
    assert org.call("GET", f"/sobjects/Contact/{ids[1]}").json()["AccountId"] == ids[0]
    codes = [each["body"][0]["errorCode"] for each in bad["graphResponse"]["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert (count(org), count(org, "Contact")) == (1, 1)


def test_a_graph_holds_calls_of_single_records_only(empty_org):
    graphs = [{"graphId": "one", "compositeRequest": [part(path="/query?q=SELECT+Id+FROM+Account")]}]
    [graph] = empty_org.call("POST", "/composite/graph", json={"graphs": graphs}).json()["graphs"]
    assert graph["isSuccessful"] is False


@pytest.mark.parametrize(
    "graphs",
    [[], [{"graphId": "one"}], ["one"], [{"compositeRequest": [part()]}], [{"graphId": "1", "compositeRequest": [{}]}]],
)
def test_a_malformed_graph_is_refused(empty_org, graphs):
    assert empty_org.call("POST", "/composite/graph", json={"graphs": graphs}).status_code == 400


def batch(org, *parts, **options):
    response = org.call("POST", "/composite/batch", json={"batchRequests": list(parts)} | options)
    assert response.status_code == 200, response.text
    return response.json()


def test_the_parts_of_a_batch_know_nothing_of_each_other(org):
    create = {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": {"Name": "Ada Sample"}}
    wrong = create | {"richInput": {}}
    body = batch(org, wrong, create, {"method": "GET", "url": "v66.0/query/?q=SELECT+Name+FROM+Account"})
    assert body["hasErrors"] is True
    assert [each["statusCode"] for each in body["results"]] == [400, 201, 200]
    assert body["results"][2]["result"]["records"][0]["Name"] == "Ada Sample"


def test_a_batch_that_halts_runs_nothing_after_an_error(org):
    create = {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": {"Name": "Ada Sample"}}
    results = batch(org, create, {"method": "GET", "url": "v66.0/none"}, create, haltOnError=True)["results"]
    assert [each["statusCode"] for each in results] == [201, 404, 412]
    assert results[2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert count(org) == 1


@pytest.mark.parametrize("parts", [[], ["GET"], [{"method": "GET"}], None])
def test_a_malformed_batch_is_refused(empty_org, parts):
    assert empty_org.call("POST", "/composite/batch", json={"batchRequests": parts}).status_code == 400


def record(sobject, ref, **fields):
    return {"attributes": {"type": sobject, "referenceId": ref}} | fields


def test_a_tree_makes_records_and_their_children(org):
    owned = record("FinServ__FinancialAccount__c", "ira", Name="Sample IRA")
    ada = record("Account", "ada", Name="Ada Sample", RecordType={"DeveloperName": "IndustriesIndividual"})
    ada["FinServ__FinancialAccountsPrimaryOwner__r"] = {"records": [owned]}
    ada["Contacts"] = {"records": [record("Contact", "son", LastName="Sample")]}
    response = org.call("POST", "/composite/tree/Account", json={"records": [ada]})
    assert (response.status_code, response.json()["hasErrors"]) == (201, False)
    ids = {each["referenceId"]: each["id"] for each in response.json()["results"]}
    assert ids.keys() == {"ada", "ira", "son"}
    account = org.call("GET", f"/sobjects/FinServ__FinancialAccount__c/{ids['ira']}").json()
    assert account["FinServ__PrimaryOwner__c"] == ids["ada"]
    assert org.call("GET", f"/sobjects/Contact/{ids['son']}").json()["AccountId"] == ids["ada"]


def test_one_wrong_record_of_a_tree_keeps_all_out(org):
    ada = record("Account", "ada", Name="Ada Sample", Contacts={"records": [record("Contact", "son")]})
    response = org.call("POST", "/composite/tree/Account", json={"records": [ada, record("Account", "b", Name="Bo")]})
    assert (response.status_code, response.json()["hasErrors"]) == (400, True)
    [result] = response.json()["results"]
    assert (result["referenceId"], result["errors"][0]["statusCode"]) == ("son", "REQUIRED_FIELD_MISSING")
    assert count(org) == 0


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([{"Name": "Ada"}], "INVALID_INPUT"),
        ([record("Contact", "ada", LastName="Sample")], "INVALID_INPUT"),
        ([record("Account", "ada", Name="Ada"), record("Account", "ada", Name="Bo")], "INVALID_INPUT"),
        ([record("Account", "ada", Name="Ada", Nonsense__r={"records": [record("X", "b")]})], "INVALID_FIELD"),
        ([record("Account", f"p{i}", Name="Ada") for i in range(201)], "LIMIT_EXCEEDED"),
        (["Ada"], "JSON_PARSER_ERROR"),
    ],
)
def test_a_malformed_tree_is_refused(empty_org, records, code):
    response = empty_org.call("POST", "/composite/tree/Account", json={"records": records})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, code)
