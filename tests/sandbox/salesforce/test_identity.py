"""URLs in the org's responses: a token's user, the API's resources, an object's addresses."""

import httpx
import pytest

CLIENT_ID, CLIENT_SECRET, USERNAME = "3MVG9sample", "sample-secret", "loader@sample-wealth.example"


@pytest.fixture
def login(org):
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    return org.http.post("/services/oauth2/token", data=form).json()


def bearer(login):
    return {"Authorization": f"Bearer {login['access_token']}"}


@pytest.mark.parametrize("place", ["header", "query"])
def test_identity_url_returns_the_tokens_user(org, login, place):
    sent = {"headers": bearer(login)} if place == "header" else {"params": {"oauth_token": login["access_token"]}}
    identity = httpx.get(login["id"], **sent).json()
    assert (identity["id"], identity["username"]) == (login["id"], USERNAME)
    assert login["id"].endswith(f"/{identity['organization_id']}/{identity['user_id']}")
    assert identity["urls"]["custom_domain"] == org.url


def test_every_address_of_an_identity_responds(login):
    urls = httpx.get(login["id"], headers=bearer(login)).json()["urls"]
    assert set(urls) == {"rest", "sobjects", "query", "custom_domain"}
    for name in ("rest", "sobjects"):
        assert httpx.get(urls[name].format(version="66.0"), headers=bearer(login)).status_code == 200
    params = {"q": "SELECT Id FROM Account"}
    assert httpx.get(urls["query"].format(version="66.0"), headers=bearer(login), params=params).status_code == 200


def test_userinfo_gives_the_claims_of_openid_connect(org, login):
    claims = org.http.get("/services/oauth2/userinfo", headers=bearer(login)).json()
    assert (claims["sub"], claims["preferred_username"]) == (login["id"], USERNAME)
    assert claims["zoneinfo"] == "America/New_York"


@pytest.mark.parametrize("path", ["id", "userinfo"])
def test_who_has_no_token_is_refused_in_plain_text(org, login, path):
    url = login["id"] if path == "id" else f"{org.url}/services/oauth2/userinfo"
    response = httpx.get(url, headers={"Authorization": "Bearer wrong"})
    assert (response.status_code, response.text) == (403, "Bad_OAuth_Token")


def test_a_user_of_another_org_is_not_found(org, login):
    response = org.http.get(f"/id/00DHp0000000002AAA/{login['id'][-18:]}")
    assert (response.status_code, response.text) == (403, "Bad_Id")


def test_a_revoked_token_is_worthless(org, login):
    form = {"token": login["access_token"]}
    assert org.http.post("/services/oauth2/revoke", data=form).status_code == 200
    response = httpx.get(f"{org.url}/services/data/v66.0/limits", headers=bearer(login))
    assert (response.status_code, response.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    again = org.http.post("/services/oauth2/revoke", data=form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_token")


def test_every_resource_of_a_version_responds(org, login):
    versions = org.http.get("/services/data").json()
    resources = org.http.get(versions[-1]["url"]).json()
    assert resources.pop("identity") == login["id"]
    refused = {name for name, url in resources.items() if org.http.get(url).status_code != 200}
    assert refused == {"query", "queryAll"}  # without a query
    assert {"sobjects", "composite", "jobs", "limits"} <= set(resources)


def test_every_address_of_an_object_responds(org):
    ada = org.add_person()
    description = org.call("GET", "/sobjects/Account").json()["objectDescribe"]
    assert description["name"] == "Account"
    for url in description["urls"].values():
        assert org.http.get(url.replace("{ID}", ada)).status_code == 200


def test_what_is_not_there_is_refused_as_salesforce_does(org):
    response = org.http.get("/services/Soap/u/66.0")
    assert (response.status_code, response.json()[0]["errorCode"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/services/oauth2/userinfo", "/services/oauth2/revoke", "/id/00DHp0000000001AAA/005"])
def test_an_unavailable_org_returns_no_identity(org, path):
    org.fault("unavailable")
    assert org.http.get(path).status_code == 503


def test_a_version_cannot_be_changed(org):
    response = org.http.post("/services/data/v66.0")
    assert (response.status_code, response.json()[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
