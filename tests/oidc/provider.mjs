// An identity provider with npm's oidc-provider. It signs people in without a form, and misbehaves
// as a test asks.

import http from "node:http";
import path from "node:path";
import { generateKeyPairSync } from "node:crypto";
import { pathToFileURL } from "node:url";

const library = path.join(process.env.NODE_PATH, "oidc-provider/lib/index.js");
const { default: Provider } = await import(pathToFileURL(library));

/** Key set with one key of this kind. */
function keys(kid) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { keys: [{ ...privateKey.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" }] };
}

export class IdentityProvider {
  /** People by subject: their claims. */
  people = {};
  /** Subject of the next sign-in, or an error that the person gets. */
  next = { subject: "alice" };
  /** Lifetime of codes in seconds. */
  codeSeconds = 60;

  constructor(redirectUris) {
    this.redirectUris = redirectUris;
    this.jwks = keys("first");
  }

  async start(port = 0) {
    this.server = http.createServer((request, response) => this.answer(request, response));
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    this.issuer = `http://127.0.0.1:${this.port}`;
    this.configure();
  }

  /** Replaces the signing key, as providers do at times. */
  rotateKeys() {
    this.jwks = keys("second");
    this.configure();
  }

  configure() {
    const claims = ["name", "email", "email_verified", "groups", "_claim_names", "preferred_username"];
    this.provider = new Provider(this.issuer, {
      clients: [{
        client_id: "graywave", client_secret: "the secret of the client",
        redirect_uris: this.redirectUris, id_token_signed_response_alg: "RS256",
      }],
      jwks: this.jwks,
      cookies: { keys: ["a key of the provider's own cookies"] },
      scopes: ["openid", "profile", "email", "groups"],
      claims: { openid: ["sub", ...claims] },
      conformIdTokenClaims: false,
      // A code stays good when the person signs in from another tab, as at most providers.
      expiresWithSession: () => false,
      pkce: { required: () => true },
      ttl: {
        AuthorizationCode: () => this.codeSeconds, AccessToken: 60, IdToken: 60, Interaction: 60, Session: 60, Grant: 60,
      },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (_, subject) => ({
        accountId: subject, claims: () => ({ sub: subject, ...this.people[subject] }),
      }),
      loadExistingGrant: async (context) => {
        const grant = new context.oidc.provider.Grant({
          clientId: context.oidc.client.clientId, accountId: context.oidc.session.accountId,
        });
        grant.addOIDCScope("openid profile email groups");
        await grant.save();
        return grant;
      },
    });
    this.callback = this.provider.callback();
  }

  answer(request, response) {
    if (!request.url.startsWith("/interaction/")) return this.callback(request, response);
    const { subject, error } = this.next;
    const result = error ? { error } : { login: { accountId: subject, remember: false } };
    return this.provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}
