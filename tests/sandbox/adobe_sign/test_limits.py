"""Adobe Sign's limits: ETags, identical calls, and high load."""


def test_etag_spares_what_is_known(lived):
    path = f"/agreements/{lived.send()}"
    etag = lived.get(path).headers["ETag"]
    assert lived.get(path, headers={"If-None-Match": etag}).status_code == 304
    lived.edit("cancel", agreement_id=path.rpartition("/")[2])
    changed = lived.get(path, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["status"]) == (200, "CANCELLED")


def test_fourth_identical_get_in_a_minute_is_too_many(adobe):
    administrator, other = adobe.users()
    for _ in range(3):
        adobe.list(administrator)
    response = adobe.get("/agreements", administrator, pageSize=500)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == str(response.json()["retryAfter"]) == "60"
    assert response.json()["code"] == "THROTTLING_TOO_MANY_REQUESTS"
    assert adobe.get("/agreements", other, pageSize=500).status_code == 200
    assert adobe.get("/agreements", administrator, pageSize=499).status_code == 200


def test_early_retry_begins_the_wait_anew(adobe):
    for _ in range(3):
        adobe.list()
    waits = []
    for seconds in (0, 50, 50, 61):
        adobe.advance(seconds)
        waits.append(adobe.get("/agreements", pageSize=500).status_code)
    assert waits == [429, 429, 429, 200]


def test_conditional_get_above_the_limit_is_304_even_if_all_has_changed(adobe):
    path = f"/agreements/{adobe.send()}"
    etag = adobe.get(path).headers["ETag"]
    adobe.edit("cancel", agreement_id=path.rpartition("/")[2])
    statuses = [adobe.get(path, headers={"If-None-Match": etag}).status_code for _ in range(4)]
    assert statuses == [200, 200, 304, 304]


def test_high_load_returns_reason_and_retry_time(shared):
    shared.fault("high_load", "/users", times=1, retry_after=7)
    response = shared.get("/users")
    assert (response.status_code, response.headers["X-Throttling-Reason"]) == (429, "high-system-load")
    assert response.json()["code"] == "THROTTLING_HIGH_SYSTEM_LOAD"
    assert response.headers["Retry-After"] == "7"
    shared.sandbox.admin("clock", advance_seconds=8)
    assert shared.get("/users").status_code == 200
