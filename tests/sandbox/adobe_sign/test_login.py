"""Adobe Sign's login: tokens, codes and their ends."""

from sandbox.adobe_sign.app import REFRESH_TOKEN
from tests.running_sandbox import NOW
from tests.sandbox.adobe_sign.caller import LIFE, ROOT, AdobeSign

DAY = 86_400


def test_refresh_gives_an_access_token_of_an_hour_and_no_refresh_token(adobe):
    token = adobe.refresh().json()
    assert set(token) == {"access_token", "token_type", "expires_in"}
    adobe.log_in(token["access_token"])
    assert adobe.get("/users").status_code == 200
    adobe.advance(3601)
    assert adobe.get("/users").json()["code"] == "INVALID_ACCESS_TOKEN"


def test_refresh_token_dies_after_sixty_days_of_which_every_use_begins_the_first(adobe, start_sandbox):
    for _ in range(2):
        adobe.advance(59 * DAY)
        assert adobe.refresh().status_code == 200
    again = AdobeSign(start_sandbox(households=4))
    again.sandbox.admin("clock", now=NOW.isoformat(), advance_seconds=118 * DAY + 60 * DAY + 60)
    assert again.refresh().json()["error"] == "invalid_grant"


def test_code_is_good_once_and_for_five_minutes(adobe):
    form = LIFE | {"grant_type": "authorization_code"}
    code = adobe.edit("authorize")["code"]
    granted = adobe.post("token", code=code, **form).json()
    assert adobe.refresh(granted["refresh_token"]).status_code == 200
    assert granted["api_access_point"] == f"{adobe.sandbox.url}{ROOT}"
    assert adobe.post("token", code=code, **form).status_code == 400
    late = adobe.edit("authorize")["code"]
    adobe.advance(301)
    assert adobe.post("token", code=late, **form).status_code == 400


def test_revoked_access_token_takes_its_refresh_token_along(adobe):
    token = adobe.refresh().json()["access_token"]
    assert adobe.post("revoke", token=token).content == b""
    assert adobe.post("revoke", token=token).json()["code"] == "EXPIRED_TOKEN"
    assert adobe.refresh().status_code == 400
    assert [adobe.post("revoke", token=each).json()["code"] for each in ("", "x")] == [
        "INVALID_REQUEST",
        "INVALID_TOKEN",
    ]


def test_application_of_another_secret_is_refused(shared):
    assert shared.post("refresh", **LIFE | {"refresh_token": REFRESH_TOKEN, "client_secret": "x"}).status_code == 401


def test_connections_open_the_login(shared):
    extra = shared.sandbox.http.get("/_sandbox/connections").json()["adobe_sign"]["extra"]
    names = ("client_id", "client_secret", "refresh_token")
    form = {name: extra[name] for name in names} | {"grant_type": "refresh_token"}
    assert shared.sandbox.http.post(extra["token_url"], data=form).status_code == 200


def test_base_uris_are_the_sandbox_s_own(shared):
    point = f"{shared.sandbox.url}{ROOT}/"
    assert shared.read("/baseUris") == {"apiAccessPoint": point, "webAccessPoint": point}


def test_wrong_shard_is_an_error(shared):
    shared.fault("wrong_shard", "/agreements", times=1)
    response = shared.get("/agreements")
    assert (response.status_code, response.json()["code"]) == (401, "INVALID_API_ACCESS_POINT")
    assert shared.get("/agreements").status_code == 200
