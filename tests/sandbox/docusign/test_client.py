"""DocuSign's own client, unmodified, over TLS (its login supports nothing else)."""

import pytest

from sandbox.docusign import app as docusign
from sandbox.docusign.login import INTEGRATION_KEY, read_private_key
from sandbox.docusign.rows import ACCOUNT_ID, USER_ID
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults
from tests.running_sandbox import NOW
from tests.running_tls import serve_tls

esign = pytest.importorskip("docusign_esign")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    clock = Clock()
    clock.set(NOW)
    (folder / "state").mkdir()
    office = docusign.Office(World(folder / "state", clock, households=20), clock)
    configuration = esign.Configuration()  # one for the whole process
    with serve_tls(docusign.create_app(office, Faults(), Calls(clock)), folder) as host:
        configuration.ssl_ca_cert = str(folder / "ca.pem")
        client = esign.ApiClient(oauth_host_name=host)
        key = read_private_key(folder / "state").encode()
        token = client.request_jwt_user_token(INTEGRATION_KEY, USER_ID, host, key, 3600, ["signature", "impersonation"])
        account = client.get_user_info(token.access_token).accounts[0]
        client.host = f"{account.base_uri}/restapi"
        client.set_default_header("Authorization", f"Bearer {token.access_token}")
        yield client
        configuration.ssl_ca_cert = None
        client.rest_client.pool_manager.clear()


@pytest.fixture
def envelopes(client):
    return esign.EnvelopesApi(client)


def test_client_logs_in_and_finds_its_account(client):
    assert client.host.startswith("https://127.0.0.1:")


def test_client_lists_changes_page_by_page(envelopes):
    first = envelopes.list_status_changes(ACCOUNT_ID, from_date="2026-09-01T00:00:00Z", count="5")
    assert (first.result_set_size, first.end_position, len(first.envelopes)) == ("5", "4", 5)
    assert first.next_uri
    following = envelopes.list_status_changes(
        ACCOUNT_ID, from_date="2026-09-01T00:00:00Z", count="5", start_position="5", include="recipients"
    )
    assert following.envelopes[0].recipients.signers[0].email.endswith("@example.org")


def test_client_reads_one_envelope_its_recipients_and_its_documents(envelopes):
    listed = envelopes.list_status_changes(ACCOUNT_ID, from_date="2026-09-01T00:00:00Z", status="completed")
    id_ = listed.envelopes[0].envelope_id
    assert envelopes.get_envelope(ACCOUNT_ID, id_).status == "completed"
    assert {signer.status for signer in envelopes.list_recipients(ACCOUNT_ID, id_).signers} == {"completed"}
    assert envelopes.list_documents(ACCOUNT_ID, id_).envelope_documents[-1].document_id == "certificate"
    assert envelopes.list_audit_events(ACCOUNT_ID, id_).audit_events
    assert bytes(envelopes.get_document(ACCOUNT_ID, "combined", id_)).startswith(b"%PDF-")


def test_client_lists_templates(client):
    listed = esign.TemplatesApi(client).list_templates(ACCOUNT_ID)
    assert listed.envelope_templates[0].name == "Advisory agreement"


def test_client_is_refused_in_a_form_that_it_can_read(envelopes):
    with pytest.raises(esign.ApiException) as error:
        envelopes.list_status_changes(ACCOUNT_ID)
    assert error.value.status == 400
    assert b"INVALID_REQUEST_PARAMETER" in error.value.body
