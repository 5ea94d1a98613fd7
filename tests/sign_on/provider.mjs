// A certified OpenID Connect server, whose development pages accept any password. It reads its users anew for each token, and ends with its
// standard input. The strength of a login (acr, amr) is that of its account, because these pages ask for no second factor.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const here = createRequire(`${process.env.PACKAGES}/package.json`);
const { default: Provider } = await import(pathToFileURL(here.resolve("oidc-provider")));
const { port, redirect_uri, client_id, client_secret, users } = JSON.parse(process.env.INPUT);

function readClaims(id, use) {
  const { groups_in, acr, amr, ...claims } = JSON.parse(readFileSync(users, "utf-8"))[id];
  return use === "id_token" && groups_in === "userinfo" ? { sub: id } : { sub: id, ...claims };
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id, client_secret, redirect_uris: [redirect_uri] }],
  acrValues: ["1", "2", "3"],
  claims: { openid: ["sub", "acr", "amr"], profile: ["preferred_username", "given_name", "family_name", "groups"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: async (use) => readClaims(id, use) }),
  pkce: { required: () => true },
});

const finish = provider.interactionFinished.bind(provider);
provider.interactionFinished = (request, response, result, options) => {
  if (result.login) {
    const { acr = "2", amr = ["pwd", "mfa"] } = JSON.parse(readFileSync(users, "utf-8"))[result.login.accountId];
    Object.assign(result.login, { acr, amr });
  }
  return finish(request, response, result, options);
};
provider.listen(port, "127.0.0.1", () => console.log("ready"));
process.stdin.resume();
process.stdin.on("end", () => process.exit());
