"""The text of an envelope's documents and certificate."""

from sandbox.docusign.life import Envelope, list_recipients
from sandbox.server.pdf import Page

CERTIFICATE = "certificate"


def write_document(envelope: Envelope, document: Envelope) -> Page:
    """Return the page of one document, with the signatures that the envelope has so far."""
    lines = [
        f"DocuSign Envelope ID: {envelope['envelopeId'].upper()}",
        "",
        document["name"],
        envelope["emailSubject"],
        "",
    ]
    for _, recipient in list_recipients(envelope):
        if "signedDateTime" in recipient:
            lines.append(f"Signed by {recipient['name']} on {recipient['signedDateTime']}")
    return lines


def write_certificate(envelope: Envelope) -> Page:
    """Return the page of the Certificate of Completion."""
    lines = ["Certificate Of Completion", f"Envelope Id: {envelope['envelopeId']}", f"Status: {envelope['status']}", ""]
    for _, recipient in list_recipients(envelope):
        lines.append(f"{recipient['name']} <{recipient.get('email', '')}>: {recipient['status']}")
        lines += [f"    {name}: {value}" for name, value in recipient.items() if name.endswith("DateTime")]
    return lines
