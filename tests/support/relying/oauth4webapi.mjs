// What a relying party does with oauth4webapi, step by step; says what came of each as one JSON object.
import * as oauth from 'oauth4webapi'

const settings = JSON.parse(process.argv[2])
// Loopback speaks no TLS; the library asks for this to be said at each request.
const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(settings.issuer)

async function discovered(algorithm) {
  const response = await oauth.discoveryRequest(issuer, { algorithm, ...insecure })
  return oauth.processDiscoveryResponse(issuer, response)
}

async function key(jwk) {
  const { alg, ...members } = jwk
  const imported = await crypto.subtle.importKey(
    'jwk', members, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  return { key: imported, kid: jwk.kid }
}

// An error by what a program branches on.
async function outcome(step) {
  try {
    return await step()
  } catch (error) {
    if (error instanceof oauth.ResponseBodyError) {
      return { status: error.status, error: error.error }
    }
    if (error instanceof oauth.WWWAuthenticateChallengeError) {
      return { status: error.status, challenge: error.cause[0].scheme }
    }
    return { failed: error.code ?? error.name, message: error.message }
  }
}

const as = await discovered('oauth2')
const result = { oauth2: as, oidc: await discovered('oidc') }

const methods = {
  client_secret_basic: [settings.basic, oauth.ClientSecretBasic(settings.basic.client_secret)],
  client_secret_post: [settings.post, oauth.ClientSecretPost(settings.post.client_secret)],
  private_key_jwt: [settings.keyed, oauth.PrivateKeyJwt(await key(settings.keyed.jwk))],
}

async function granted(client, auth, parameters) {
  const sent = new URLSearchParams(parameters)
  const response = await oauth.clientCredentialsGrantRequest(as, client, auth, sent, insecure)
  return oauth.processClientCredentialsResponse(as, client, response)
}

async function introspected(client, auth, token) {
  const response = await oauth.introspectionRequest(as, client, auth, token, insecure)
  return oauth.processIntrospectionResponse(as, client, response)
}

async function revoked(client, auth, token) {
  const response = await oauth.revocationRequest(as, client, auth, token, insecure)
  await oauth.processRevocationResponse(response)
  return response.status
}

async function accepted(token, audience) {
  const headers = { Authorization: `Bearer ${token}` }
  const request = new Request('https://orders.example/orders', { headers })
  return oauth.validateJwtAccessToken(as, request, audience, insecure)
}

for (const [method, [{ client_id }, auth]] of Object.entries(methods)) {
  const client = { client_id }
  result[method] = await outcome(async () => {
    const token = await granted(client, auth, { scope: settings.scope })
    return {
      token,
      claims: await accepted(token.access_token, settings.audience),
      before: await introspected(client, auth, token.access_token),
      revoked: await revoked(client, auth, token.access_token),
      after: await introspected(client, auth, token.access_token),
      again: await revoked(client, auth, token.access_token),
    }
  })
}

const { client_id } = settings.plain
const auth = oauth.ClientSecretBasic(settings.plain.client_secret)
const client = { client_id }
async function refreshed(token) {
  const response = await oauth.refreshTokenGrantRequest(as, client, auth, token, insecure)
  return oauth.processRefreshTokenResponse(as, client, response)
}
result.user = await outcome(() => accepted(settings.user.access_token, settings.audience))
result.elsewhere = await outcome(() => accepted(settings.user.access_token, 'elsewhere'))
result.refreshed = await outcome(() => refreshed(settings.user.refresh_token))
result.replayed = await outcome(() => refreshed(settings.user.refresh_token))
result.ended = await outcome(() => refreshed(result.refreshed.refresh_token))
result.scope = await outcome(() => granted(client, auth, { scope: 'everything' }))
result.audience = await outcome(() => granted(client, auth, { resource: 'https://other.example' }))
result.wrong = await outcome(() => granted(client, oauth.ClientSecretBasic('wrong'), {}))
console.log(JSON.stringify(result))
