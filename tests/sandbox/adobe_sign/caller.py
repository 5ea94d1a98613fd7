"""Calls Adobe Sign in a running sandbox."""

from sandbox.adobe_sign.app import CLIENT_ID, CLIENT_SECRET, INTEGRATION_KEY, REFRESH_TOKEN

ROOT = "/adobe_sign"
API = ROOT + "/api/rest/v6"
LIFE = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


class AdobeSign:
    """A caller with the integration key."""

    def __init__(self, sandbox) -> None:
        self.sandbox, self.headers = sandbox, {"Authorization": f"Bearer {INTEGRATION_KEY}"}

    def get(self, path: str, user: str | None = None, headers=None, **params):
        acting = {"x-api-user": user} if user else {}
        return self.sandbox.http.get(API + path, headers=self.headers | acting | (headers or {}), params=params)

    def read(self, path: str, user: str | None = None, **params):
        response = self.get(path, user, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def users(self) -> list[str]:
        return [f"userid:{user['id']}" for user in self.read("/users")["userInfoList"]]

    def list(self, user: str | None = None, **params) -> list[dict]:
        return self.read("/agreements", user, pageSize=500, **params)["userAgreementList"]

    def edit(self, kind: str, **values) -> dict:
        return self.sandbox.admin(f"adobe_sign/{kind}", **values)

    def send(self, **values) -> str:
        return self.edit("send", **{"household_id": 1001, "processing_seconds": 0} | values)["agreement_id"]

    def refuse(self, kind: str, **values) -> None:
        assert self.sandbox.http.post(f"/_sandbox/adobe_sign/{kind}", json=values).status_code == 400

    def post(self, path: str, **form):
        return self.sandbox.http.post(f"{ROOT}/oauth/v2/{path}", data=form)

    def refresh(self, token: str = REFRESH_TOKEN):
        return self.post("refresh", refresh_token=token, **LIFE)

    def log_in(self, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}

    def advance(self, seconds: float) -> None:
        self.sandbox.admin("clock", advance_seconds=seconds)

    def fault(self, kind: str, path: str, **options) -> None:
        self.sandbox.http.post("/_sandbox/faults", json={"route": API + path, "kind": kind} | options)
