// What a firm's own tool reads with docusign-esign. It knows no way to its login but https.
const { client, input, run } = require("./steps.cjs");
const docusign = client("docusign-esign");

const api = new docusign.ApiClient();
api.setOAuthBasePath(input.host);
const envelopes = new docusign.EnvelopesApi(api);
const { account } = input;
const since = { fromDate: "2026-09-01T00:00:00Z" };
let id;

run({
  logs_in_by_jwt: async () => {
    const scopes = ["signature", "impersonation"];
    const { body } = await api.requestJWTUserToken(input.integration_key, input.user_id, scopes, Buffer.from(input.private_key), 600);
    const { accounts } = await api.getUserInfo(body.access_token);
    api.setBasePath(`${accounts[0].baseUri}/restapi`);
    api.setOAuthBasePath(input.host);
    api.addDefaultHeader("Authorization", `Bearer ${body.access_token}`);
    return accounts[0].accountId;
  },
  lists_changes_page_by_page: async () => {
    const first = await envelopes.listStatusChanges(account, { ...since, count: 5 });
    const next = await envelopes.listStatusChanges(account, { ...since, count: 5, startPosition: 5, include: "recipients" });
    return [first.envelopes.length, first.endPosition, next.envelopes[0].recipients.signers.length > 0];
  },
  reads_an_envelope: async () => {
    id = (await envelopes.listStatusChanges(account, { ...since, status: "completed" })).envelopes[0].envelopeId;
    return (await envelopes.getEnvelope(account, id)).status;
  },
  reads_its_recipients: async () => [...new Set((await envelopes.listRecipients(account, id)).signers.map((each) => each.status))],
  lists_its_documents: async () => (await envelopes.listDocuments(account, id)).envelopeDocuments.at(-1).documentId,
  downloads_its_documents: async () => Buffer.from(await envelopes.getDocument(account, id, "combined"), "binary").toString("latin1").slice(0, 5),
  reads_its_history: async () => (await envelopes.listAuditEvents(account, id)).auditEvents.length > 0,
  lists_templates: async () => (await new docusign.TemplatesApi(api).listTemplates(account)).envelopeTemplates[0].name,
  reads_an_error: async () => await envelopes.listStatusChanges(account),
});
