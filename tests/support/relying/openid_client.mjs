// What a relying party does with openid-client, step by step; says what came of each as one JSON object.
import * as client from 'openid-client'

const settings = JSON.parse(process.argv[2])

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
    const status = error.status ?? error.cause?.status
    return { status, error: error.error, failed: error.code, message: error.message }
  }
}

function configured(who, auth, algorithm = 'oidc') {
  // Loopback speaks no TLS; the library asks for this to be said.
  const options = { execute: [client.allowInsecureRequests], algorithm }
  return client.discovery(new URL(settings.issuer), who.client_id, undefined, auth, options)
}

const methods = {
  client_secret_basic: [settings.basic, client.ClientSecretBasic(settings.basic.client_secret)],
  client_secret_post: [settings.post, client.ClientSecretPost(settings.post.client_secret)],
  private_key_jwt: [settings.keyed, client.PrivateKeyJwt(await key(settings.keyed.jwk))],
}
const result = {}
for (const [method, [who, auth]] of Object.entries(methods)) {
  for (const algorithm of ['oidc', 'oauth2']) {
    result[`${method} ${algorithm}`] = await outcome(async () => {
      const config = await configured(who, auth, algorithm)
      const token = await client.clientCredentialsGrant(config, { scope: settings.scope })
      const before = await client.tokenIntrospection(config, token.access_token)
      await client.tokenRevocation(config, token.access_token)
      const after = await client.tokenIntrospection(config, token.access_token)
      return { token, before, after }
    })
  }
}

const config = await configured(
  settings.plain, client.ClientSecretBasic(settings.plain.client_secret))
const me = async (token) => {
  const url = new URL(`${settings.issuer}/me`)
  return (await client.fetchProtectedResource(config, token, url, 'GET')).json()
}
result.me = await outcome(() => me(settings.user.access_token))
result.refreshed = await outcome(
  () => client.refreshTokenGrant(config, settings.user.refresh_token))
result.replayed = await outcome(
  () => client.refreshTokenGrant(config, settings.user.refresh_token))
result.ended = await outcome(() => me(result.refreshed.access_token))
const wrong = await configured(settings.plain, client.ClientSecretPost('wrong'))
result.wrong = await outcome(() => client.clientCredentialsGrant(wrong))
console.log(JSON.stringify(result))
