// What a firm's own tool does with jsforce.
const { client, input, run } = require("./steps.cjs");
const jsforce = client("jsforce");

const KEY = "Tributary_Key__c";
const oauth2 = { loginUrl: input.login_url, clientId: input.client_id, clientSecret: input.client_secret };
const connection = new jsforce.Connection({ oauth2, version: "66.0" });
const accounts = connection.sobject("Account");
const people = (count) => Array.from({ length: count }, (_, i) => ({ [KEY]: `P${i}`, Name: `Person "${i}",\nsecond line` }));
let ids, first;

run({
  logs_in_by_jwt: async () => {
    const other = new jsforce.Connection({ oauth2, version: "66.0" });
    const grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    return (await other.authorize({ grant_type: grant, assertion: input.assertion })).organizationId;
  },
  logs_in_by_client_credentials: async () => {
    await connection.authorize({ grant_type: "client_credentials" });
    return connection.instanceUrl;
  },
  finds_its_identity: async () => (await connection.identity()).username,
  finds_its_identity_by_the_list_of_resources: async () => {
    const { accessToken, instanceUrl } = connection;
    return (await new jsforce.Connection({ accessToken, instanceUrl, version: "66.0" }).identity()).username;
  },
  describes: async () => {
    const { sobjects } = await connection.describeGlobal();
    const { childRelationships } = await accounts.describe();
    return [sobjects.some((each) => each.name === "Account"), childRelationships.some((each) => each.relationshipName === "Contacts")];
  },
  creates_many: async () => {
    const results = await accounts.create(people(3));
    ids = results.map((each) => each.id);
    return results.map((each) => each.success);
  },
  retrieves_many: async () => (await accounts.retrieve([ids[1], ids[0]])).map((each) => each[KEY]),
  updates_many: async () => (await accounts.update(ids.map((Id) => ({ Id, Name: "Renamed" })))).map((each) => each.success),
  upserts_many: async () => (await accounts.upsert([{ [KEY]: "P2", Name: "Ada" }, { [KEY]: "P3", Name: "Bo" }], KEY)).map((each) => each.created),
  destroys_many: async () => (await accounts.destroy(ids.slice(1))).map((each) => each.success),
  finds_by_a_query_of_its_own: async () =>
    (await accounts.find({ CreatedDate: jsforce.Date.TODAY }, ["Id", "Name"]).sort({ Name: -1 }).limit(5)).map((each) => each.Name),
  groups: async () =>
    (await connection.query("SELECT Name who, COUNT(Id) many FROM Account GROUP BY Name ORDER BY Name")).records.map((each) => [each.who, each.many]),
  includes_children: async () => {
    await connection.sobject("Contact").create({ LastName: "Sample", AccountId: ids[0] });
    const found = await accounts.find({ Id: ids[0] }, ["Id"]).include("Contacts").select("LastName").end();
    return found[0].Contacts.records.map((each) => each.LastName);
  },
  counts: async () => await accounts.count(),
  makes_a_composite_graph: async () => {
    const node = (name, body) => ({ method: "POST", url: `/services/data/v66.0/sobjects/${name}`, referenceId: name, body });
    const nodes = [node("Account", { Name: "Cy" }), node("Contact", { LastName: "Cy", AccountId: "@{Account.id}" })];
    const { graphs } = await connection.requestPost("/composite/graph", { graphs: [{ graphId: "one", compositeRequest: nodes }] });
    return graphs[0].isSuccessful;
  },
  loads_in_bulk: async () => {
    const input = [...people(1200).map((row) => ({ ...row, [KEY]: `B${row[KEY]}` })), { [KEY]: "wrong", Name: "" }];
    const job = { object: "Account", operation: "upsert", externalIdFieldName: KEY, input, pollInterval: 100, pollTimeout: 60000 };
    const results = await connection.bulk2.loadAndWaitForResults(job);
    return [results.successfulResults.length, results.failedResults.length, results.unprocessedRecords.length];
  },
  queries_in_bulk: async () => {
    const stream = await connection.bulk2.query(`SELECT ${KEY}, Name FROM Account WHERE ${KEY} LIKE 'BP%'`);
    const rows = await stream.toArray();
    first = rows.find((row) => row[KEY] === "BP0");
    return [rows.length, first.Name];
  },
  reads_a_query_to_its_end: async () =>
    (await connection.query("SELECT Id FROM Account", { autoFetch: true, maxFetch: 5000, headers: { "Sforce-Query-Options": "batchSize=500" } })).records.length,
  reads_an_error: async () => await connection.query("SELECT Nonsense__c FROM Account"),
  logs_out: async () => {
    await connection.logout();
    return connection.accessToken;
  },
});
