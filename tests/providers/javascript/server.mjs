// npm's oidc-provider with its own pages, for one client. What it is to be comes as JSON on the standard input:
// issuer, address, port, secret, panels (origins of the panel), and key and certificate (files) for TLS.
import { readFileSync } from "node:fs";
import { createServer as plain } from "node:http";
import { createServer as secure } from "node:https";
import Provider from "oidc-provider";

const told = JSON.parse(readFileSync(0, "utf8"));
const provider = new Provider(told.issuer, {
  clients: [
    {
      client_id: "argos",
      client_secret: told.secret,
      redirect_uris: told.panels.map((origin) => `${origin}/oidc/callback`),
      post_logout_redirect_uris: told.panels.map((origin) => `${origin}/login`),
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "preferred_username"] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id,
      email: `${id}@home.example`,
      email_verified: true,
      name: `Person ${id}`,
      preferred_username: id,
    }),
  }),
  cookies: { keys: ["only the suite's"] },
});
const answer = provider.callback();
const server = told.key
  ? secure({ key: readFileSync(told.key), cert: readFileSync(told.certificate) }, answer)
  : plain(answer);
server.listen(told.port, told.address, () => console.log("ready"));
