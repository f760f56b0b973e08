// A real OpenID Connect provider (panva's oidc-provider) for tests.
//
//   provider.mjs PATH-OF-THE-PACKAGE REDIRECT-URI
//
// Prints its issuer on one line. Whoever is sent to it is signed in at once as the account that the
// first part of `/as/ACCOUNT` chose last; accounts are `ada`, `bob` and so on, with the email
// ACCOUNT@example.com, verified unless the account begins with `un`.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [, , place, redirect] = process.argv;
const { default: Provider } = await import(pathToFileURL(place).href);

let account = 'ada';
const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'hostler',
    client_secret: 'provider-secret-of-32-characters',
    redirect_uris: [redirect],
    token_endpoint_auth_method: 'client_secret_basic',
  }],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.com`,
      email_verified: !id.startsWith('un'),
      name: `Person ${id}`,
    }),
  }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: { devInteractions: { enabled: false } },
});

const answer = provider.callback();
server.on('request', async (request, response) => {
  try {
    if (request.url.startsWith('/as/')) {
      account = request.url.slice(4);
      response.end(account);
    } else if (request.url.startsWith('/interaction/')) {
      const { params } = await provider.interactionDetails(request, response);
      const grant = new provider.Grant({ accountId: account, clientId: params.client_id });
      grant.addOIDCScope(params.scope);
      const grantId = await grant.save();
      await provider.interactionFinished(request, response, { login: { accountId: account }, consent: { grantId } });
    } else {
      answer(request, response);
    }
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error?.stack ?? error));
  }
});
console.log(issuer);
