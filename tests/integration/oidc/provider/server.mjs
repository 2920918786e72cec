// An independent OpenID Connect provider on loopback: node server.mjs PORT CLIENT_SECRET PANEL_ORIGIN
import Provider from "oidc-provider";

const [port, secret, panel] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "argos",
      client_secret: secret,
      redirect_uris: [`${panel}/oidc/callback`],
      post_logout_redirect_uris: [`${panel}/login`],
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
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
