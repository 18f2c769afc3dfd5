"""config/: one mapping, read once, validated whole, frozen, silent about secrets."""

import base64
import copy
import json
import pickle
import tomllib
from collections import ChainMap
from types import MappingProxyType

import pytest
from configurations import ISSUER, SECRET, introspection, jwks, one_auth, parsed, refused, service

from tokenward.authenticator import authorization, cookie, header
from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.client_auth import BearerAuth, ClientSecretBasic, ClientSecretPost
from tokenward.config import Settings, build_authenticator, build_service, build_verifier
from tokenward.config.build import initialize_store
from tokenward.config.settings import CONFIG_VARIABLE, as_settings
from tokenward.errors import ConfigurationError, CrossSiteRequest, InvalidRequest, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.protocols import Request
from tokenward.repositories import MemoryTokenRepository, MemoryUserRepository
from tokenward.schemas import RegisterRequest
from tokenward.tokens import LocalVerifier, create_access_token

# --- keys


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"relm": "x"}, "'relm' is not a setting; did you mean 'realm'?"),
        ({"defaultaccess": "deny"}, "'defaultaccess' is not a setting; did you mean"),
        ({"credential": []}, "did you mean 'credentials'?"),
        (
            {"credentials": [introspection(), introspection(audiance="x")]},
            "credentials[1]: 'audiance' is not a setting; did you mean 'audience'?",
        ),
        (
            one_auth(method="client_secret_basic", client_id="o", client_sceret=SECRET),
            "client_auth: 'client_sceret' is not a setting; did you mean 'client_secret'?",
        ),
        (
            {"credentials": [introspection(type=..., tpye="introspection")]},
            "credentials[0]: 'tpye' is not a setting; did you mean 'type'?",
        ),
        (
            one_auth(methd="bearer", token=SECRET),
            "credentials[0].client_auth: 'methd' is not a setting; did you mean 'method'?",
        ),
        (
            {"service": service(password={"mni_length": 9})},
            "service.password: 'mni_length' is not a setting; did you mean 'min_length'?",
        ),
        (
            {"service": service(clients=[{"client_id": "a", "secret": SECRET}])},
            "service.clients[0]: 'secret' is not a setting; did you mean 'client_secret'?",
        ),
        ({"service": service(lifetime=1)}, "service: 'lifetime' is not a setting; "),
        ({5: 1}, "5 is not a setting; known here: credentials, default_access, "),
    ],
    ids=lambda v: v[:50] if isinstance(v, str) else "",
)
def test_a_misspelt_key_is_named(mapping, message):
    """It fails with its path and the nearest right one, or with those that are known."""
    assert message in refused(mapping)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"credentials": [introspection(type=...)]}, "credentials[0]: does not say its 'type'"),
        (
            {"credentials": [introspection(type="introspect")]},
            "credentials[0]: 'introspect' is no 'type'; known: 'jwks', 'introspection', ",
        ),
        (one_auth(client_id="o"), "credentials[0].client_auth: does not say its 'method'"),
        (one_auth(method="basic"), "'basic' is no 'method'; known: 'client_secret_basic'"),
        (one_auth(method="bearer"), "credentials[0].client_auth.token: is missing"),
        (
            {"credentials": [introspection(introspection_endpoint=...)]},
            "credentials[0]: says nobody to ask; write 'issuer', whose endpoint is discovered",
        ),
        ({"service": {"audience": "o", "store": "memory://"}}, "service.issuer: is missing"),
        ({"credentials": "local"}, "credentials: "),
        ({"credentials": {"type": "local"}}, "credentials: "),
        ({"credentials": [5]}, "credentials[0]: "),
        ({"public": "/health"}, "public: "),
        ({"default_access": "closed"}, "default_access: "),
        ("realm = 'x'", "dictionary"),
        (None, "dictionary"),
    ],
    ids=lambda v: v[:50] if isinstance(v, str) else "",
)
def test_what_is_missing_or_of_another_shape(mapping, message):
    """Each problem is a sentence behind the path of the setting."""
    assert message in refused(mapping)


def test_every_problem_is_told_at_once():
    """One run of the program shows all that is to be mended."""
    told = refused({"realm": 5, "credentials": [introspection(ttl=-1, retries="no")]})

    assert {"realm", "credentials[0].ttl", "credentials[0].retries"} == {
        sentence.partition(": ")[0] for sentence in told.split("; ")
    }


@pytest.mark.parametrize(
    "change",
    [
        {"ttl": "60"},
        {"ttl": True},
        {"ttl": -1},
        {"ttl": float("nan")},
        {"ttl": float("inf")},
        {"leeway": True},
        {"leeway": None},
        {"timeout": 0},
        {"pool_size": 0},
        {"pool_size": 1.5},
        {"max_entries": True},
        {"max_token_bytes": 16_385},
        {"source": "query:token"},
        {"source": "header:"},
        {"source": "header:a b"},
        {"source": "cookie:"},
        {"source": "Authorization"},
        {"source": "authorization\n"},
        {"audience": ""},
        {"audience": []},
        {"audience": True},
        {"audience": 5},
        {"audience": ["a", 5]},
        {"roles_claim": 5},
    ],
    ids=str,
)
def test_values_that_cannot_be_meant(change):
    """Numbers are numbers, sources are places, and an audience is a name: or no start."""
    with pytest.raises(ConfigurationError):
        build_authenticator(parsed(introspection(**change)))


@pytest.mark.parametrize(
    ("mapping", "setting"),
    [
        ({"credentials": introspection()}, "credentials"),
        ({"service": service(clients={"client_id": "orders"})}, "service.clients"),
    ],
    ids=["credentials", "clients"],
)
def test_entries_are_a_list(mapping, setting):
    """One alone is no list yet; it is shown as written in Python, and in TOML."""
    shown = f"[{{...}}] (in TOML: [[{setting}]])"

    assert f"{setting}: write a list of entries, even of one: {shown}" == refused(mapping)


@pytest.mark.parametrize("written", ["/health", {"/health": True}, 5], ids=repr)
def test_a_list_of_strings_is_a_list(written):
    """Nothing else, and the value is not repeated."""
    assert "public: write a list" == refused({"public": written})


def test_the_clients_whose_tokens_are_taken_are_names():
    """Not entries, as those of the service are."""
    told = refused({"credentials": [jwks(clients={"client_id": "web"})]})

    assert "credentials[0].clients: write a list" == told


# --- the audience


def test_audience_must_be_written():
    """No check is turned off by omission; the message says how it is turned off."""
    assert (
        "credentials[0].audience: is missing; write the name that this API has at the issuer; "
        "None (in TOML: false) takes a token that is meant for anybody"
    ) == refused({"credentials": [introspection(audience=...)]})


@pytest.mark.parametrize(
    ("written", "audience"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), (("a",), ("a",)), (None, None), (False, None)],
)
def test_audience(written, audience):
    """A name, several, or none where that was written; TOML has no null, so false."""
    assert audience == parsed(introspection(audience=written)).credentials[0].audience


@pytest.mark.parametrize("written", [[], (), True, 5, ["a", 5]])
def test_audience_that_names_nobody(written):
    """Neither an empty list nor another type turns the check off."""
    assert "credentials[0].audience" in refused({"credentials": [introspection(audience=written)]})


# --- secrets (RULES 44)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Put a secret into the environment and into files."""
    monkeypatch.setenv("THE_SECRET", SECRET)
    monkeypatch.setenv("EMPTY_SECRET", "")
    for name, text in {"plain": SECRET, "ended": SECRET + "\r\n", "empty": "\n"}.items():
        (tmp_path / name).write_text(text, "utf-8", newline="")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    return tmp_path


@pytest.mark.parametrize(
    "written",
    [SECRET, {"env": "THE_SECRET"}, {"file": "{}/plain"}, {"file": "{}/ended"}],
    ids=str,
)
def test_a_secret_is_read_with_the_settings(places, written):
    """Literally, from the environment, or from a file without its line end."""
    if isinstance(written, dict):
        written = {kind: where.format(places) for kind, where in written.items()}
    settings = Settings.model_validate(one_auth(method="bearer", token=written))

    assert SECRET == settings.credentials[0].client_auth.token.get_secret_value()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "the secret is empty"),
        ({"env": "NO_SUCH"}, "the environment variable NO_SUCH is not set, or empty"),
        ({"env": "EMPTY_SECRET"}, "the environment variable EMPTY_SECRET is not set, or empty"),
        ({"file": "{}/none"}, "none cannot be read"),
        ({"file": "{}/empty"}, "the secret is empty"),
        ({"file": "{}/binary"}, "binary cannot be read"),
        ({"file": "{}"}, "cannot be read"),
        ({"file": "a\x00b"}, "cannot be read"),
        ({"evn": "THE_SECRET"}, 'a secret is a string, {"env": NAME} or {"file": PATH}'),
        ({"env": "THE_SECRET", "file": "x"}, "a secret is a string"),
        ({}, "a secret is a string"),
        (12345, "string"),
        ([SECRET], "string"),
        (None, "string"),
    ],
    ids=repr,
)
def test_a_secret_that_is_none(places, written, message):
    """The path of the setting and what is wrong; never the value."""
    if isinstance(written, dict):
        written = {kind: where.format(places) for kind, where in written.items()}
    told = refused(one_auth(method="bearer", token=written))

    assert "credentials[0].client_auth.token: " in told
    assert message in told
    assert "12345" not in told


@pytest.mark.parametrize(
    "secret",
    ["tiny-1", "x" * 40, "abababababababababababab", "changeme-changeme", "your-secret-here"],
)
@pytest.mark.parametrize("where", ["clients", "keys"])
def test_weak_secrets_stop_the_start(secret, where):
    """Short, uniform or placeholder: a secret of ours must be hard to guess."""
    section = (
        {"clients": [{"client_id": "orders", "client_secret": secret}]}
        if where == "clients"
        else {"keys": {"secrets": [SECRET, secret]}}
    )
    told = refused({"service": service(**section)})

    assert f"service.{where}" in told
    assert secret not in told


@pytest.fixture
def everything(monkeypatch):
    """Return settings that hold a secret wherever there may be one."""
    monkeypatch.setenv("THE_SECRET", SECRET)
    bearer = {"method": "bearer", "token": {"env": "THE_SECRET"}}
    return parsed(
        introspection(proxies={"https": f"http://u:{SECRET}@proxy.example:1"}),
        introspection(client_auth=bearer, source="header:X-Token"),
        service=service(
            store=f"sqlite:///{SECRET}.db",
            keys={"secrets": [SECRET, {"env": "THE_SECRET"}]},
            clients=[{"client_id": "orders", "client_secret": SECRET}],
        ),
    )


def test_no_secret_in_a_repr(everything):
    """Settings can be logged."""
    assert SECRET not in f"{everything!r} {everything} {everything.credentials[0]!r}"
    assert SECRET not in json.dumps(everything.model_dump(mode="json")["service"]["clients"])
    assert "X-Token" in repr(everything)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_secret_in_a_pickle(everything, protocol):
    """Settings are read in each process; they do not travel."""
    for section in (everything, everything.service, everything.credentials[0]):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(section, protocol)


def test_no_secret_in_errors():
    """A mistake beside a secret does not bring it into the message or what led to it."""
    told = refused(one_auth(method="bearer", token=SECRET, client_id="surplus"))

    assert "client_id" in told


# --- frozen values


def test_settings_are_frozen(everything):
    """What was validated is what is used."""
    for section, name in (
        (everything, "realm"),
        (everything.service, "issuer"),
        (everything.credentials[0], "audience"),
        (everything.credentials[0].client_auth, "client_secret"),
    ):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, name, "other")


def test_settings_are_detached_from_the_mapping():
    """The mapping may change afterwards, and is not changed itself."""
    mapping = {"public": ["/health"], "credentials": [introspection()], "service": service()}
    before = copy.deepcopy(mapping)
    settings = Settings.model_validate(mapping)
    assert before == mapping
    mapping["public"].append("/*")
    mapping["service"]["registration"] = "closed"

    assert (("/health",), "open") == (settings.public, settings.service.registration)


def test_lists_and_tuples_are_the_same():
    """Python code may use either; TOML has lists."""
    listed = {"public": ["/a"], "origins": ["https://a.example"], "credentials": [introspection()]}
    tupled = {name: tuple(value) for name, value in listed.items()}

    assert Settings.model_validate(listed) == Settings.model_validate(tupled)


def test_any_mapping_will_do():
    """A configuration may come read-only, or as another kind of mapping."""
    frozen = MappingProxyType(
        {"credentials": (MappingProxyType(introspection()),), "service": ChainMap(service())}
    )

    assert parsed(introspection(), service=service()) == Settings.model_validate(frozen)


def test_settings_pass_through():
    """What is parsed already is not parsed again."""
    settings = parsed(introspection())

    assert settings is as_settings(settings)
    assert settings == as_settings({"credentials": [introspection()]})


# --- files

TOML = f"""
realm = "orders"
default_access = "deny"
public = ["/health"]

[[credentials]]
type = "introspection"
introspection_endpoint = "https://as.example/introspect"
audience = false
client_auth = {{ method = "client_secret_post", client_id = "orders", client_secret = "{SECRET}" }}

[[credentials]]
type = "local"
source = "cookie:session"

[service]
issuer = "https://auth.example"
audience = "orders"
store = "memory://"
"""


def test_a_toml_file_is_the_same_mapping(tmp_path, monkeypatch):
    """The text of a file and the mapping of an application give equal settings."""
    file = tmp_path / "tokenward.toml"
    file.write_text(TOML, "utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    expected = Settings.model_validate(tomllib.loads(TOML))

    assert "TOKENWARD_CONFIG" == CONFIG_VARIABLE
    assert expected == Settings.from_file(file) == Settings.from_env() == as_settings(None)
    assert (None, "cookie:session") == (
        expected.credentials[0].audience,
        expected.credentials[1].source,
    )


@pytest.mark.parametrize("value", [None, ""])
def test_no_configuration_says_so(monkeypatch, value):
    """Both ways to configure are named."""
    if value is None:
        monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(CONFIG_VARIABLE, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env()

    assert "tokenward.configure(" in str(caught.value)
    assert "TOKENWARD_CONFIG" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no configuration file"),
        (f'realm = "{SECRET}'.encode(), "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"relm = 'x'", "'relm' is not a setting; did you mean 'realm'?"),
    ],
    ids=["missing", "no-toml", "binary", "misspelt"],
)
def test_a_file_that_cannot_be_used(tmp_path, content, message):
    """The file is named, and what is wrong with it; none of its text is shown."""
    file = tmp_path / "tokenward.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_file(file)

    assert str(file) in str(caught.value)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_directory_is_no_file(tmp_path):
    """Another kind of place is a configuration error too."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Settings.from_file(tmp_path)


# --- building


def test_every_setting_of_an_entry_arrives():
    """What is written reaches the verifier and its client."""
    verifier = build_verifier(
        parsed(
            introspection(
                issuer="https://as.example",
                ttl=7,
                negative_ttl=3,
                max_entries=11,
                stale_if_error=13,
                max_token_bytes=99,
                leeway=5,
                required=["scope"],
                roles_claim=["a", "b"],
                timeout=4,
            )
        ).credentials[0]
    )

    assert isinstance(verifier, IntrospectionVerifier)
    verdicts = verifier._answers._verdicts
    assert (7, 3, 13, 99) == (
        verdicts._ttl,
        verdicts._negative_ttl,
        verdicts._stale_if_error,
        verifier._max_token_bytes,
    )
    assert (11, 4, "https://as.example/introspect") == (
        verifier._cache.max_entries,
        verifier.client.timeout,
        verifier.client.introspection_endpoint,
    )
    policy = verdicts._policy
    assert (5, {"scope"}, {"a", "b"}) == (policy.leeway, policy.required, set(policy.roles_claims))
    assert ({"orders"}, {"https://as.example"}) == (policy.audience, policy.issuer)


def test_the_defaults_are_those_of_the_classes():
    """Leaving a setting out is leaving the argument out."""
    entry = parsed(introspection()).credentials[0]
    defaults = {
        **IntrospectionVerifier.__init__.__kwdefaults__,
        **IntrospectionClient.__init__.__kwdefaults__,
    }
    shared = type(entry).model_fields.keys() & defaults.keys()
    plural = {"roles_claim": ("roles",), "required": ()}

    assert len(shared) > 15
    assert {n: plural.get(n, defaults[n]) for n in shared} == {n: getattr(entry, n) for n in shared}


@pytest.mark.parametrize(
    ("auth", "made"),
    [
        (
            {"method": "client_secret_basic", "client_id": "o", "client_secret": SECRET},
            ClientSecretBasic,
        ),
        (
            {"method": "client_secret_post", "client_id": "o", "client_secret": SECRET},
            ClientSecretPost,
        ),
        ({"method": "bearer", "token": SECRET}, BearerAuth),
    ],
    ids=lambda v: v["method"] if isinstance(v, dict) else "",
)
def test_client_authentication(auth, made):
    """Each method is the class that does it."""
    entry = Settings.model_validate(one_auth(**auth)).credentials[0]

    assert made is type(build_verifier(entry).client._client_auth)


@pytest.mark.parametrize(("encoding", "expected"), [("form", "a+b:%C3%A9+"), ("raw", "a b:é ")])
def test_basic_encoding(encoding, expected):
    """A server that does not decode is told apart (RULES 19)."""
    auth = {"method": "client_secret_basic", "client_id": "a b", "client_secret": "é "}
    entry = Settings.model_validate(one_auth(**auth, encoding=encoding)).credentials[0]
    applied = build_verifier(entry).client._client_auth.apply(Request("POST", "https://as.example"))
    value = applied.headers["Authorization"].removeprefix("Basic ")

    assert expected == base64.b64decode(value).decode()


@pytest.mark.parametrize(
    ("source", "expected", "ambient"),
    [
        ("authorization", authorization(), False),
        ("header:X-Token", header("X-Token"), True),
        ("cookie:session", cookie("session"), True),
    ],
)
def test_sources(source, expected, ambient):
    """Each entry reads its place; what a browser attaches by itself is ambient."""
    (credential,) = build_authenticator(parsed(introspection(source=source))).credentials

    assert (expected, ambient) == (credential.source, credential.ambient)


def test_places_are_tried_in_the_order_written():
    """The first entry of each place says when it is looked at."""
    settings = parsed(
        introspection(source="cookie:b"),
        {"type": "local"},
        introspection(),
        introspection(source="header:A"),
        service=service(),
    )
    made = build_authenticator(settings)

    assert ["cookie:b", "authorization", "header:a"] == [c.source.place for c in made.credentials]


def test_the_rest_of_the_settings_arrives():
    """Realm, access, public paths and origins are the authenticator's."""
    made = build_authenticator(
        parsed(
            realm="orders",
            default_access="deny",
            public=["/health", "POST /hook"],
            origins=["https://shop.example"],
        )
    )

    assert ("orders", "deny", ()) == (made.realm, made.default_access, made.credentials)
    assert (True, True, False) == (
        made.is_public("GET", "/health"),
        made.is_public("POST", "/hook"),
        made.is_public("GET", "/hook"),
    )


def test_origins_arrive():
    """Pages of a configured origin may send what a cookie authenticates; others may not."""
    settings = parsed(
        {"type": "local", "source": "cookie:session"},
        service=service(),
        origins=["https://shop.example"],
    )
    ours = build_service(settings)
    user = ours.create_user("ada", email="ada@example.org", password="lantern-9")
    token = create_access_token(
        {"sub": user.id, "ver": 0}, keys=ours.keys, issuer=ISSUER, audience="orders"
    )
    made = build_authenticator(settings, service=ours)
    headers = {"Cookie": f"session={token}", "Origin": "https://shop.example"}

    assert user.id == made.authenticate(headers, method="POST").principal.subject
    with pytest.raises(CrossSiteRequest):
        made.authenticate(headers | {"Origin": "https://evil.example"}, method="POST")


@pytest.mark.parametrize(
    "entry",
    [
        introspection(introspection_endpoint="http://as.example/introspect"),
        introspection(introspection_endpoint="https://u:p@as.example/introspect"),
        introspection(introspection_endpoint="https://as.example/i", verify_tls=False),
        introspection(verify_tls="/no/such/bundle.pem"),
        introspection(proxies={"https": "socks5://x"}),
        introspection(source="header:Authorization"),
        introspection(source="header:cookie"),
        introspection(source="cookie:a;b"),
    ],
    ids=str,
)
def test_parts_that_cannot_be_built(entry):
    """What the settings cannot know fails when the parts are made: at the start all the same."""
    with pytest.raises(ConfigurationError):
        build_authenticator(parsed(entry))


# --- several entries at one place


def test_a_place_with_one_entry_takes_everything():
    """Alone, introspection is asked about signed and opaque tokens alike."""
    (credential,) = build_authenticator(parsed(introspection())).credentials

    assert IntrospectionVerifier is type(credential.verifier)


def test_entries_at_one_place_are_joined():
    """Our own tokens go to the local verifier, opaque ones to the server, others nowhere."""
    settings = parsed({"type": "local"}, introspection(), service=service())
    ours = build_service(settings)
    (credential,) = build_authenticator(settings, service=ours).credentials
    joined = credential.verifier
    user = ours.register_user(
        RegisterRequest(username="ada", email="ada@example.org", password="lantern-9")
    )
    token = create_access_token(
        {"sub": user.id, "ver": 0}, keys=ours.keys, issuer=ISSUER, audience="orders"
    )
    foreign = create_access_token(
        {"sub": user.id}, keys=ours.keys, issuer="https://other.example", audience="orders"
    )

    assert (ByIssuer, Unreserved) == (type(joined), type(joined.otherwise))
    assert user == joined.verify(token).user
    with pytest.raises(InvalidToken) as caught:
        joined.verify(foreign)
    assert "unknown_issuer" == caught.value.reason
    assert 0 == joined.otherwise.verifier.stats().upstream_calls


def test_a_server_without_an_issuer_cannot_name_one_that_is_configured_elsewhere():
    """At another place, too: its answers would be anybody's identity."""
    settings = parsed(
        {"type": "local"}, introspection(source="header:X-Partner"), service=service()
    )
    _, partner = build_authenticator(settings).credentials
    assert Unreserved is type(partner.verifier)


@pytest.mark.parametrize(("said", "is_ambient"), [({}, False), ({"ambient": True}, True)])
def test_a_proxy_that_adds_the_header_is_said_to(said, is_ambient):
    """Then a browser's requests bear it whoever made the browser send them."""
    (credential,) = build_authenticator(parsed(introspection(**said))).credentials
    assert is_ambient is credential.ambient


def test_entries_at_different_places_are_not_joined():
    """The same server may be asked about tokens from two places; cookie names have a case."""
    settings = parsed(
        introspection(), introspection(source="cookie:a"), introspection(source="cookie:A")
    )

    assert 3 == len(build_authenticator(settings).credentials)


# --- the service


def test_local_needs_a_service():
    """Tokens of which service? The settings must say."""
    assert "needs the section 'service'" in refused({"credentials": [{"type": "local"}]})
    with pytest.raises(ConfigurationError, match="'local' needs the service"):
        build_verifier(parsed({"type": "local"}, service=service()).credentials[0])


def test_local_is_the_services_verifier():
    """Keys, issuer, audience and stores are the service's own."""
    settings = parsed({"type": "local", "leeway": 5, "roles_claim": "r"}, service=service())
    ours = build_service(settings)
    verifier = build_verifier(settings.credentials[0], service=ours)

    assert LocalVerifier is type(verifier)
    assert (ours.keys, ours.users, ours.tokens) == (
        verifier._keys,
        verifier._users,
        verifier._tokens,
    )
    assert (5, {ISSUER}, {"orders"}) == (
        verifier._policy.leeway,
        verifier._policy.issuer,
        verifier._policy.audience,
    )


def test_every_setting_of_the_service_arrives():
    """What is written reaches the service, its clients and its hashes."""
    settings = parsed(
        service=service(
            access_token_lifetime=60,
            password={"min_length": 9, "bcrypt_cost": 5},
            keys={"algorithm": "RS256"},
            clients=[
                {"client_id": "a", "client_secret": SECRET},
                {
                    "client_id": "b",
                    "client_secret": SECRET,
                    "audiences": ["x"],
                    "scopes": "s",
                    "grants": "refresh_token",
                    "token_audiences": ["y"],
                    "access_token_lifetime": 28_800,
                },
            ],
        )
    )
    ours = build_service(settings)
    first, second = ours.clients

    assert (ISSUER, "orders", 60) == (ours.issuer, ours.audience, ours.access_token_lifetime)
    assert "RS256" == ours.keys.current.algorithm
    assert (None, frozenset("x")) == (first.audiences, second.audiences)
    assert (None, 28_800) == (first.access_token_lifetime, second.access_token_lifetime)
    assert (frozenset("s"), {"refresh_token"}) == (second.scopes, second.grants)
    assert (None, frozenset("y")) == (first.token_audiences, second.token_audiences)
    with pytest.raises(InvalidRequest):
        ours.create_user("ada", email="ada@example.org", password="quartz-1")
    user = ours.create_user("ada", email="ada@example.org", password="quartz-12")
    assert "$05$" in ours.users.get_by_id(user.id).hashed_password


def test_stores_can_be_handed_in():
    """An application's own repositories stand in for the store's."""
    users, tokens = MemoryUserRepository(), MemoryTokenRepository()
    ours = build_service(parsed(service=service()), users=users, tokens=tokens)

    assert (users, tokens) == (ours.users, ours.tokens)


def test_no_service_section():
    """Asking for the service of settings without one says what is missing."""
    with pytest.raises(ConfigurationError, match="no section 'service'"):
        build_service(parsed())


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://auth.example"},
        {"issuer": "auth.example"},
        {"issuer": "https://auth.example/?tenant=1"},
        {"issuer": "https://auth.example/#x"},
        {"issuer": ""},
        {"store": "postgres://u:LEAK@db/x"},
        {"store": ""},
        {"clients": [{"client_id": "tokenward", "client_secret": SECRET}]},
    ],
    ids=str,
)
def test_a_service_that_cannot_be_built(change):
    """An issuer over http, or a store nobody knows, stops the start."""
    with pytest.raises(ConfigurationError) as caught:
        build_service(parsed(service=service(**change)))

    assert "LEAK" not in str(caught.value)


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1"])
def test_http_on_this_machine(issuer):
    """A literal loopback address may be an issuer, for development."""
    assert issuer == build_service(parsed(service=service(issuer=issuer))).issuer


@pytest.mark.parametrize(
    "change",
    [
        {"audience": ""},
        {"access_token_lifetime": 0},
        {"access_token_lifetime": 1.5},
        {"access_token_lifetime": True},
        {"password": {"min_length": 5}},
        {"password": {"bcrypt_cost": 3}},
        {"password": {"bcrypt_cost": 17}},
        {"registration": "maybe"},
        {"keys": {"algorithm": "HS256"}},
        {"keys": {"algorithm": "none"}},
        {
            "clients": [
                {"client_id": "a", "client_secret": SECRET},
                {"client_id": "a", "client_secret": SECRET + "2"},
            ]
        },
        {"clients": [{"client_id": "", "client_secret": SECRET}]},
    ],
    ids=str,
)
def test_service_values_that_cannot_be_meant(change):
    """Each fails in the settings already, with its path."""
    assert "service." in refused({"service": service(**change)})


@pytest.mark.parametrize("lifetime", [0, -1, 1.5, True, "900", []])
def test_a_clients_lifetime_that_cannot_be_meant(lifetime):
    """It fails in the settings already, with the path of the client."""
    client = {"client_id": "a", "client_secret": SECRET, "access_token_lifetime": lifetime}
    told = refused({"service": service(clients=[client])})

    assert "service.clients[0].access_token_lifetime" in told
    assert SECRET not in told


@pytest.mark.parametrize("secrets", [[], [SECRET]], ids=["plain", "sealed"])
def test_a_store_is_made_once_and_then_opened(tmp_path, secrets):
    """`initialize_store` makes store and keys; building a service makes neither."""
    section = service(store=f"sqlite:///{tmp_path}/tokenward.db", keys={"secrets": secrets})
    settings = parsed(service=section)
    with pytest.raises(ConfigurationError):
        build_service(settings)
    assert [] == list(tmp_path.iterdir())

    assert [True, False] == [initialize_store(settings), initialize_store(settings)]
    assert build_service(settings).keys.kids() == build_service(settings).keys.kids()


def test_keys_need_the_secret_that_sealed_them(tmp_path):
    """A new secret goes in front; without the old one nothing starts, and nothing is made anew."""
    store = f"sqlite:///{tmp_path}/tokenward.db"

    def settings(*secrets):
        return parsed(service=service(store=store, keys={"secrets": secrets}))

    initialize_store(settings(SECRET))
    newer = SECRET[::-1]

    assert build_service(settings(newer, SECRET)).keys.kids()
    for wrong in (settings(newer), settings()):
        for start in (build_service, initialize_store):
            with pytest.raises(ConfigurationError):
                start(wrong)
    assert build_service(settings(SECRET)).keys.kids()
