"""Documents of an envelope, the certificate, and audit events."""

import io
import zipfile

from tests.sandbox.pdf import is_pdf


def test_combined_has_all_documents_and_the_certificate_unless_it_is_not_wanted(reader):
    id_ = reader.list(status="completed", from_to_status="completed")[0]["envelopeId"]
    listed = reader.get(f"/envelopes/{id_}/documents").json()["envelopeDocuments"]
    assert listed[-1]["documentId"] == "certificate"
    response = reader.get(f"/envelopes/{id_}/documents/combined")
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["Content-Disposition"] == 'file; filename="combined.pdf"; documentid="combined"'
    assert is_pdf(response.content)
    assert response.content.count(b"/Type /Page ") == len(listed)
    bare = reader.get(f"/envelopes/{id_}/documents/combined", certificate="false").content
    assert bare.count(b"/Type /Page ") == len(listed) - 1


def test_one_document_the_certificate_and_the_archive_can_be_had(reader):
    id_ = reader.list(status="completed")[0]["envelopeId"]
    assert is_pdf(reader.get(f"/envelopes/{id_}/documents/1").content)
    assert b"Certificate Of Completion" in reader.get(f"/envelopes/{id_}/documents/certificate").content
    archive = zipfile.ZipFile(io.BytesIO(reader.get(f"/envelopes/{id_}/documents/archive").content))
    assert "Summary.pdf" in archive.namelist()
    assert reader.get(f"/envelopes/{id_}/documents/99").status_code == 404


def test_audit_events_name_the_signers(reader):
    row = reader.list(status="completed", include="recipients")[0]
    events = reader.get(f"/envelopes/{row['envelopeId']}/audit_events").json()["auditEvents"]
    fields = [{each["name"]: each["value"] for each in event["eventFields"]} for event in events]
    assert [each["logTime"] for each in fields] == sorted(each["logTime"] for each in fields)
    signed = {each["UserName"] for each in fields if each["Action"] == "Signed"}
    assert {signer["name"] for signer in row["recipients"]["signers"]} <= signed
