// An authorization server for tests: oidc-provider behind a front that counts, and breaks, what a
// test wants. Run as `node --input-type=module - SETTINGS.json < server.mjs` in the folder whose
// node_modules has oidc-provider; prints one line `ready {...}` with the ports it listens on.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { Provider, errors } from 'oidc-provider';

const settings = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const HOST = '127.0.0.1';
const LIFE = 600;
const LIFE_OF_SIGNED = 86_400; // longer than keys are kept

// Records are files, so that a server that was killed knows its tokens when it is back.
class Folder {
  constructor(model) { this.model = model; }
  file(id) {
    return path.join(settings.records, `${this.model}-${createHash('sha256').update(id).digest('hex')}`);
  }
  async upsert(id, record) { fs.writeFileSync(this.file(id), JSON.stringify(record)); }
  async find(id) {
    const file = this.file(id);
    return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : undefined;
  }
  async destroy(id) { fs.rmSync(this.file(id), { force: true }); }
}

// Tokens for a resource that ends so are JWTs, signed as it says.
const SIGNED = /\/signed(?:\/(\w+))?$/;

const resourceServer = (_ctx, resource) => {
  const signed = resource.match(SIGNED);
  if (!resource.startsWith(settings.audience)) throw new errors.InvalidTarget();
  return {
    audience: resource,
    scope: 'read write',
    accessTokenFormat: signed ? 'jwt' : 'opaque',
    jwt: signed ? { sign: { alg: signed[1] ?? 'RS256' } } : undefined,
  };
};

const lifeOf = (_ctx, token, client) => (
  settings.lives[client.clientId] ?? (token.resourceServer?.jwt ? LIFE_OF_SIGNED : LIFE)
);

const certificate = (ctx) => ctx.socket.getPeerX509Certificate?.();

const mutualTLS = {
  enabled: true,
  certificateBoundAccessTokens: true,
  tlsClientAuth: true,
  selfSignedTlsClientAuth: true,
  getCertificate: certificate,
  certificateAuthorized: (ctx) => ctx.socket.authorized,
  certificateSubjectMatches: (ctx, name, wanted) => (
    name === 'tls_client_auth_subject_dn' && certificate(ctx)?.subject === wanted
  ),
};

function provide(issuer, { methods, clients, aliases }) {
  const provider = new Provider(issuer, {
    adapter: Folder,
    clients,
    clientAuthMethods: methods,
    cookies: { keys: ['for tests'] },
    discovery: aliases ? { mtls_endpoint_aliases: aliases } : {},
    jwks: JSON.parse(fs.readFileSync(settings.jwks, 'utf8')),
    scopes: ['read', 'write'],
    ttl: { ClientCredentials: lifeOf },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      mTLS: aliases ? mutualTLS : {},
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: resourceServer,
        useGrantedResource: () => true,
      },
      revocation: { enabled: true },
    },
  });
  for (const event of ['server_error', 'grant.error', 'introspection.error', 'revocation.error']) {
    provider.on(event, (_ctx, error) => console.log(event, error.message, error.error_detail ?? ''));
  }
  return { provider, handle: provider.callback() };
}

// --- the front: counts, faults, and two ways to be mounted

let counts = {};
let faults = {};
let held = [];
let issuers; // by mount path; filled once the ports are known

const WELL_KNOWN = /^(\/\.well-known\/oauth-authorization-server)(\/.+)$/;

function answer(request, response) {
  let url = request.url;
  if (url.startsWith('/storing/')) {
    // As behind a proxy that drops what forbids to store an answer.
    url = url.slice('/storing'.length);
    const setHeader = response.setHeader.bind(response);
    response.setHeader = (name, value) => (
      name.toLowerCase() === 'cache-control' ? response : setHeader(name, value)
    );
  }
  const [, document, owner] = url.match(WELL_KNOWN) ?? [];
  if (document) url = owner + document; // RFC 8414, section 3.1
  const mount = Object.keys(issuers).find((prefix) => prefix && url.startsWith(`${prefix}/`)) ?? '';
  request.originalUrl = url;
  request.url = url.slice(mount.length);
  issuers[mount].handle(request, response);
}

// Node resets no TLS connection.
const hangUp = ({ socket }) => (socket.encrypted ? socket.destroy() : socket.resetAndDestroy());

function act(fault, request, response) {
  if (fault.reset) {
    hangUp(request);
  } else if (fault.status) {
    response.writeHead(fault.status, fault.headers);
    response.end(fault.body);
  } else {
    if (fault.lose) response.end = () => hangUp(request);
    answer(request, response);
  }
}

function front(request, response) {
  if (!issuers) {
    hangUp(request);
    return;
  }
  const { pathname } = new URL(request.url, 'http://front');
  counts[pathname] = (counts[pathname] ?? 0) + 1;
  const fault = faults[pathname];
  if (!fault?.times) {
    answer(request, response);
    return;
  }
  fault.times -= 1;
  if (fault.hold) {
    held.push(() => act(fault, request, response));
  } else {
    act(fault, request, response);
  }
}

// As the token endpoint makes one, beside an access token (OpenID Connect Core, section 3.1.3.6).
async function idToken({ client, use }) {
  const { provider } = issuers[''];
  const about = { client: await provider.Client.find(client) };
  const token = new provider.IdToken({ sub: 'alice' }, about);
  token.scope = 'openid';
  if (use === 'idtoken') token.set('at_hash', 'an-access-token');
  return token.issue({ use });
}

const controls = {
  '/counts': () => counts,
  '/id-token': idToken,
  '/keys': () => { issuers = mount(); },
  '/fault': ({ path: pathname, ...fault }) => { faults[pathname] = fault; },
  '/release': () => {
    // Those on their way here as well.
    Object.values(faults).forEach((fault) => { fault.hold = false; });
    held.splice(0).forEach((resume) => resume());
  },
  '/reset': () => {
    controls['/release']();
    counts = {};
    faults = {};
  },
};

async function control(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  response.end(JSON.stringify(await controls[request.url](JSON.parse(body)) ?? null));
}

const listen = (server, port = 0) => new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(port, HOST, () => resolve(server.address().port));
});

const ports = {
  port: await listen(http.createServer(front), settings.port),
  tls_port: await listen(https.createServer({
    cert: fs.readFileSync(settings.tls.cert),
    key: fs.readFileSync(settings.tls.key),
    ca: fs.readFileSync(settings.tls.ca),
    requestCert: true,
    rejectUnauthorized: false, // who may come without one, or with a self-signed one, it decides
  }, front), settings.tls_port),
  control_port: await listen(http.createServer(control), settings.control_port),
};
const root = `http://${HOST}:${ports.port}`;
const overTLS = `https://${HOST}:${ports.tls_port}`;
// With the keys that are in the file now.
const mount = () => ({
  '': provide(root, {
    methods: [
      'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth',
      'self_signed_tls_client_auth',
    ],
    clients: settings.clients,
    aliases: {
      token_endpoint: `${overTLS}/token`,
      introspection_endpoint: `${overTLS}/token/introspection`,
      revocation_endpoint: `${overTLS}/token/revocation`,
    },
  }),
  '/tenant': provide(`${root}/tenant`, {
    methods: ['client_secret_basic'],
    clients: settings.clients.filter((c) => c.token_endpoint_auth_method === 'client_secret_basic'),
  }),
});
issuers = mount();
// The other end of this pipe closes when the tests are over, however they ended.
new net.Socket({ fd: settings.lifeline, readable: true, writable: false })
  .on('close', () => process.exit())
  .resume();
console.log(`ready ${JSON.stringify(ports)}`);
