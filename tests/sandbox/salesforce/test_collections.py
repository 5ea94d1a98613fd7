"""Many records in one call: read and deleted."""

import pytest

KEY = "Tributary_Key__c"


@pytest.fixture
def ids(org):
    records = [{"attributes": {"type": "Account"}, "Name": f"Person {i}"} for i in range(3)]
    return [each["id"] for each in org.call("POST", "/composite/sobjects", json={"records": records}).json()]


def names(org):
    return {record["Name"] for record in org.query("SELECT Name FROM Account")}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_records_are_read_in_the_order_of_their_ids(org, ids, method):
    requested = [ids[2], "001Hp00000099990AA", ids[0][:15], "no id"]
    if method == "GET":
        params = {"ids": ",".join(requested), "fields": "id,name"}
        response = org.call("GET", "/composite/sobjects/Account", params=params)
    else:
        response = org.call("POST", "/composite/sobjects/Account", json={"ids": requested, "fields": ["id", "name"]})
    assert response.status_code == 200, response.text
    rows = response.json()
    assert [row and (row["Id"], row["Name"]) for row in rows] == [
        (ids[2], "Person 2"),
        None,
        (ids[0], "Person 0"),
        None,
    ]


def test_a_record_that_is_read_names_its_own_address(org, ids):
    [row] = org.call("GET", "/composite/sobjects/Account", params={"ids": ids[1], "fields": "Name"}).json()
    assert org.http.get(row["attributes"]["url"]).json()["Name"] == "Person 1"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"ids": []}, "MISSING_ARGUMENT"),
        ({"ids": ["a"]}, "MISSING_ARGUMENT"),
        ({"ids": [5], "fields": ["Id"]}, "JSON_PARSER_ERROR"),
        ({"ids": ["a"], "fields": ["Nonsense__c"]}, "INVALID_FIELD"),
        ({"ids": ["a"] * 2001, "fields": ["Id"]}, "EXCEEDED_ID_LIMIT"),
        ([], "MISSING_ARGUMENT"),
    ],
)
def test_a_malformed_request_to_read_is_refused(empty_org, body, code):
    response = empty_org.call("POST", "/composite/sobjects/Account", json=body)
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, code)


def test_records_of_several_objects_are_deleted_together(org, ids):
    contact = org.call("POST", "/sobjects/Contact", json={"LastName": "Sample"}).json()["id"]
    response = org.call("DELETE", "/composite/sobjects", params={"ids": f"{ids[0]},{contact},{ids[2][:15]}"})
    assert [(row["id"], row["success"]) for row in response.json()] == [(ids[0], True), (contact, True), (ids[2], True)]
    assert names(org) == {"Person 1"}


def test_what_cannot_be_deleted_has_its_own_error(org, ids):
    results = org.call("DELETE", "/composite/sobjects", params={"ids": f"{ids[0]},001Hp00000099990AA,zzz"}).json()
    assert [row["success"] for row in results] == [True, False, False]
    assert [row["errors"][0]["statusCode"] for row in results[1:]] == ["ENTITY_IS_DELETED", "MALFORMED_ID"]
    assert names(org) == {"Person 1", "Person 2"}


def test_all_or_none_deletes_none_when_one_cannot_be(org, ids):
    params = {"ids": f"{ids[0]},001Hp00000099990AA", "allOrNone": "true"}
    results = org.call("DELETE", "/composite/sobjects", params=params).json()
    codes = [row["errors"][0]["statusCode"] for row in results]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "ENTITY_IS_DELETED"]
    assert len(names(org)) == 3


def test_more_than_200_deletes_are_refused(empty_org):
    response = empty_org.call("DELETE", "/composite/sobjects", params={"ids": ",".join(["001"] * 201)})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


@pytest.mark.parametrize("kind", [["Account"], {}, None, 5])
def test_records_of_a_type_that_is_no_text_are_refused(empty_org, kind):
    body = {"records": [{"attributes": {"type": kind}, "Name": "Ada Sample"}]}
    response = empty_org.call("POST", "/composite/sobjects", json=body)
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_INPUT")
