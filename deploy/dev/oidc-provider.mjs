// The provider behind `oidc`; started by it, never by hand.
//   oidc-provider.mjs NPM_DIRECTORY PORT AUDIENCE TTL_SECONDS [REDIRECT_URI]
import { createServer } from 'node:http';
import { X509Certificate, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, port, audience, ttl, redirect] = process.argv.slice(2);
const library = join(directory, 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(library));

const issuer = `http://127.0.0.1:${port}`;
const resource = `urn:tallyport:${audience}`;

// What each client's tokens say beyond the standard claims.
const claims = {
  'support-agent': {
    kind: 'agent', name: 'Support agent', groups: ['support-agents'], owner: 'ada@example.com',
    model: 'example-model-1', realm_access: { roles: ['support', 'reader'] },
  },
  analyst: { kind: 'human', name: 'Analyst', groups: ['analysts', 'auditors'] },
  delegated: {
    kind: 'human', name: 'Ada', groups: ['analysts'],
    act: { sub: 'support-agent', act: { sub: 'orchestrator', iss: 'https://agents.example.com' } },
  },
  'ops-agent': {
    kind: 'agent', name: 'Operations agent', groups: ['operators'], owner: 'grace@example.com', model: 'example-model-1',
  },
  nobody: { kind: 'agent' },
  'bound-agent': { kind: 'agent', name: 'Bound agent', groups: ['support-agents'] },
  'key-agent': { kind: 'agent', name: 'Key agent', groups: ['support-agents'] },
};
// Who signs in on its pages, where there is somewhere to send them back to.
const people = {
  approver: { kind: 'human', name: 'Order approver', groups: ['order-approvers'] },
  second: { kind: 'human', name: 'Second approver', groups: ['order-approvers', 'auditors'] },
  'ops-owner': { kind: 'human', name: 'grace@example.com', groups: ['order-approvers', 'auditors'] },
  operator: { kind: 'human', name: 'Operator', groups: ['operators', 'order-approvers', 'auditors'] },
  admin: { kind: 'human', name: 'Administrator', groups: ['order-approvers', 'auditors', 'responders'] },
};
const peopleClient = {
  client_id: 'tallyport-people', token_endpoint_auth_method: 'none', response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  redirect_uris: [redirect],
};
// An agent on a person's desk, which asks for tokens of the very resource that it is for (RFC 8707).
const desktopClient = {
  client_id: 'desktop-agent', application_type: 'native', token_endpoint_auth_method: 'none', response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token'], redirect_uris: ['http://127.0.0.1:33418/callback'],
};
// It has no secret, but a key of its own (RFC 7523).
const agentKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keyAgent = {
  token_endpoint_auth_method: 'private_key_jwt', client_secret: undefined,
  jwks: { keys: [{ ...agentKey.publicKey.export({ format: 'jwk' }), kid: 'key-agent-1', use: 'sig', alg: 'ES256' }] },
};
const clients = Object.keys(claims).map((id) => ({ id, secret: randomBytes(24).toString('hex') }));

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function provider(keys) {
  const made = new Provider(issuer, {
    jwks: { keys },
    clients: clients.map(({ id, secret }) => ({
      client_id: id, client_secret: secret, grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [], token_endpoint_auth_method: 'client_secret_basic',
      // RFC 8705 section 3.4.
      ...(id === 'bound-agent' && { tls_client_certificate_bound_access_tokens: true }),
      ...(id === 'key-agent' && keyAgent),
    })).concat(redirect ? [peopleClient, desktopClient] : []),
    findAccount: (_ctx, id) => (people[id] ? { accountId: id, claims: () => ({ sub: id }) } : undefined),
    extraTokenClaims: (_ctx, token) => claims[token.clientId] ?? people[token.accountId],
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    features: {
      clientCredentials: { enabled: true },
      // What ends TLS in front of a provider hands the client's certificate over, in this field.
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (ctx) => {
          const sent = ctx.get('x-ssl-client-cert');
          return sent ? new X509Certificate(decodeURIComponent(sent)) : undefined;
        },
      },
      deviceFlow: { enabled: Boolean(redirect) },
      devInteractions: { enabled: Boolean(redirect) },
      revocation: { enabled: Boolean(redirect) },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        getResourceServerInfo: (_ctx, wanted) => ({
          ...(wanted.startsWith('https://')
            ? { scope: 'tallyport tallyport:write', audience: wanted } : { scope: '', audience }),
          accessTokenFormat: 'jwt', accessTokenTTL: Number(ttl),
          jwt: { sign: { alg: 'RS256' } },
        }),
        useGrantedResource: () => true,
      },
    },
  });
  made.on('server_error', (_ctx, error) => console.error(error));
  return made.callback();
}

// Keys of a provider cannot be changed while it runs: a rotation puts another in its place.
let keys = [newKey()];
let answer = provider(keys);

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url.startsWith('/dev/rotate')) {
    const drop = new URL(request.url, issuer).searchParams.has('drop');
    keys = [newKey(), ...(drop ? [] : keys.slice(0, 1))];
    answer = provider(keys);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ kid: keys[0].kid }));
    return;
  }
  answer(request, response);
});
server.listen(Number(port), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({
    issuer, token_url: `${issuer}/token`, rotate_url: `${issuer}/dev/rotate`, audience,
    pid: process.pid, clients, key_agent: { kid: 'key-agent-1', pem: agentKey.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
  })}\n`);
});
