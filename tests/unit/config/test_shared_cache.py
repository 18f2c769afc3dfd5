"""The section `shared_cache`: one cache and one bus for everybody, and no secret to be read."""

import pickle
import sys

import pytest
from configurations import SECRET, introspection, parsed, refused, service

from tokenward.authenticator import authorization
from tokenward.config import (
    Shared,
    build_authenticator,
    build_service,
    build_shared,
    build_verifier,
)
from tokenward.config.settings import SharedCacheSection
from tokenward.errors import ConfigurationError
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache

URL = "redis://127.0.0.1:1/0"
PASSWORD = "quartz-lantern-9f8a"
WITH_PASSWORD = f"redis://:{PASSWORD}@127.0.0.1:1/0"
OLDER = SECRET[::-1]


def shared_cache(**changes):
    """Return the section; a value of ``...`` leaves a key out."""
    return {k: v for k, v in ({"url": URL, "secrets": [SECRET]} | changes).items() if v is not ...}


def test_it_becomes_a_cache_and_a_bus():
    """Both on the same Redis, sealed under the same secrets, newest first."""
    shared = build_shared(parsed(shared_cache=shared_cache(secrets=[SECRET, OLDER])))

    assert (RedisSharedCache, RedisRevocationBus) == (
        type(shared.shared_cache),
        type(shared.revocation_bus),
    )
    for made in (shared.shared_cache, shared.revocation_bus):
        assert (SECRET, OLDER) == tuple(made.secrets)
        assert "127.0.0.1:1/0" in repr(made)


@pytest.mark.parametrize(("written", "expected"), [(..., 0.25), (0.5, 0.5)])
def test_its_timeout(written, expected):
    """A quarter of a second, unless something else is written."""
    shared = build_shared(parsed(shared_cache=shared_cache(timeout=written)))
    for made in (shared.shared_cache, shared.revocation_bus):
        assert expected == made._server.timeout


def test_without_the_section_nothing_is_shared():
    """And nothing is imported for it."""
    assert Shared() == build_shared(parsed(introspection()))


def test_a_redis_that_is_down_stops_no_start():
    """Nothing is reached for: not by the authenticator, nor by the service (RULES 50)."""
    settings = parsed(
        {"type": "local"}, introspection(), service=service(), shared_cache=shared_cache()
    )
    assert 1 == len(build_authenticator(settings, service=build_service(settings)).credentials)


def held(verifier):
    return verifier._answers._shared._cache, verifier._revocations._bus


def test_every_verifier_has_the_same():
    """One cache and one bus, so that there is one pool and one thread that listens."""
    settings = parsed(
        introspection(), introspection(source="cookie:a"), shared_cache=shared_cache()
    )
    shared = build_shared(settings)
    made = build_authenticator(settings, shared=shared).credentials

    assert authorization() == made[0].source
    for credential in made:
        verifier = getattr(credential.verifier, "verifier", credential.verifier)
        assert (shared.shared_cache, shared.revocation_bus) == held(verifier)


def test_the_service_has_them_too():
    """What is revoked there is taken away here."""
    settings = parsed(service=service(), shared_cache=shared_cache())
    shared = build_shared(settings)
    ours = build_service(settings, shared=shared)

    revocations = ours._access._revocations
    assert (shared.shared_cache, shared.revocation_bus) == (revocations._cache, revocations._bus)


def test_an_entry_alone_shares_nothing():
    """Whoever builds one verifier says what it shares."""
    verifier = build_verifier(parsed(introspection()).credentials[0])
    assert (None, None) == (verifier._answers._shared, verifier._revocations)


# --- what can be written


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1",
        "redis://:p%40ss@cache.example:6380/2",
        "redis://user:pw@cache.example",
        "rediss://cache.example",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_urls(url):
    """As redis-py reads them, over TCP, TLS or a Unix socket."""
    assert build_shared(parsed(shared_cache=shared_cache(url=url))).shared_cache is not None


@pytest.mark.parametrize("how", ["env", "file"])
def test_the_url_may_be_kept_elsewhere(monkeypatch, tmp_path, how):
    """It may hold a password, so it is read like one."""
    monkeypatch.setenv("CACHE_URL", WITH_PASSWORD)
    (tmp_path / "url").write_text(f"{WITH_PASSWORD}\n")
    written = {"env": {"env": "CACHE_URL"}, "file": {"file": str(tmp_path / "url")}}[how]
    section = parsed(shared_cache=shared_cache(url=written)).shared_cache

    assert (WITH_PASSWORD, True) == (section.url.get_secret_value(), section.url.hides_something)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": ...}, "shared_cache.url: is missing"),
        ({"secrets": ...}, "shared_cache.secrets: is missing"),
        ({"secrets": []}, "shared_cache.secrets: "),
        ({"secrets": SECRET}, "shared_cache.secrets: "),
        ({"secrets": [5]}, "shared_cache.secrets[0]: "),
        ({"secrets": [SECRET, {"env": "NO_SUCH"}]}, "shared_cache.secrets[1]: the environment"),
        ({"secrets": [{"file": "/no/such"}]}, "shared_cache.secrets[0]: the secret file /no/such"),
        ({"url": {"env": "NO_SUCH"}}, "shared_cache.url: the environment variable NO_SUCH"),
        ({"url": "http://127.0.0.1"}, "shared_cache.url: write redis://HOST:PORT/0"),
        ({"url": "127.0.0.1:6379"}, "shared_cache.url: write redis://HOST:PORT/0"),
        ({"url": f"memcached://:{PASSWORD}@h"}, "shared_cache.url: write redis://HOST:PORT/0"),
        ({"url": f"redis://[{PASSWORD}"}, "shared_cache.url: write redis://HOST:PORT/0"),
        ({"url": ""}, "shared_cache.url: the secret is empty"),
        ({"url": 5}, "shared_cache.url: "),
        ({"timeout": 0}, "shared_cache.timeout: "),
        ({"timeout": "1"}, "shared_cache.timeout: "),
        ({"urll": URL}, "shared_cache: 'urll' is not a setting; did you mean 'url'?"),
        ({"secret": SECRET}, "shared_cache: 'secret' is not a setting; did you mean 'secrets'?"),
    ],
    ids=str,
)
def test_what_cannot_be_meant(changes, message):
    """The path, and what to write; neither the secrets nor a password."""
    told = refused({"shared_cache": shared_cache(**changes)})
    assert message in told
    assert PASSWORD not in told


@pytest.mark.parametrize("name", ["sharedcache", "shared_cach", "cache"])
def test_a_misspelt_section_is_named(name):
    """With the right name."""
    assert "did you mean 'shared_cache'?" in refused({name: shared_cache()})


@pytest.mark.parametrize(
    "secret", ["tiny-1", "x" * 40, "changeme-changeme", "your-secret-here", "0123456789abcdef"]
)
@pytest.mark.parametrize("position", [0, 1])
def test_weak_secrets_stop_the_start(secret, position):
    """Wherever in the list: each of them opens what is sealed (RULES 44)."""
    secrets = [SECRET]
    secrets.insert(position, secret)
    told = refused({"shared_cache": shared_cache(secrets=secrets)})

    assert f"shared_cache.secrets: secret {position + 1} " in told
    assert secret not in told


def test_a_file_of_secrets_is_its_owners(tmp_path):
    """Others who read it could write answers."""
    path = tmp_path / "cache.secret"
    path.write_text(SECRET)
    path.chmod(0o644)
    told = refused({"shared_cache": shared_cache(secrets=[{"file": str(path)}])})
    assert f"chmod 600 {path}" in told
    path.chmod(0o600)
    (secret,) = parsed(
        shared_cache=shared_cache(secrets=[{"file": str(path)}])
    ).shared_cache.secrets
    assert SECRET == secret.get_secret_value()


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@127.0.0.1:none/0",
        f"redis://:{PASSWORD}@127.0.0.1/0?x=1",
        f"redis://:{PASSWORD}@/0",
        f"unix://:{PASSWORD}@relative",
    ],
)
def test_a_url_that_the_driver_refuses_stops_the_start(url):
    """Behind the name of the section, without the password, whatever the driver says."""
    settings = parsed(shared_cache=shared_cache(url=url))
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(settings)

    assert str(caught.value).startswith("shared_cache: ")
    assert PASSWORD not in str(caught.value)
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)


def test_without_redis_py_it_says_what_to_install(monkeypatch):
    """The extra is named as pip takes it."""
    settings = parsed(shared_cache=shared_cache())
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    for build in (build_authenticator, build_shared):
        with pytest.raises(ConfigurationError, match=r"^shared_cache: .*tokenward\[redis\]"):
            build(settings)


# --- secrets (RULES 44)


@pytest.fixture
def everything():
    return parsed(
        introspection(),
        service=service(),
        shared_cache=shared_cache(url=WITH_PASSWORD, secrets=[SECRET, OLDER]),
    )


def test_no_secret_in_a_repr(everything):
    """Of the settings, of the section, of what is made of them."""
    shared = build_shared(everything)
    made = build_authenticator(everything, shared=shared)
    shown = f"{everything!r} {everything} {everything.shared_cache!r} {shared!r} {made!r}"
    shown += str(everything.model_dump(mode="json")["shared_cache"])

    for secret in (PASSWORD, SECRET, OLDER):
        assert secret not in shown
    assert isinstance(everything.shared_cache, SharedCacheSection)


def test_no_secret_in_a_pickle(everything):
    """Neither the section nor what is made of it travels."""
    shared = build_shared(everything)
    for thing in (everything.shared_cache, shared.shared_cache, shared.revocation_bus, shared):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


def test_no_secret_in_the_log(everything, caplog):
    """Not even at the finest level."""
    caplog.set_level(1)
    build_authenticator(everything, service=build_service(everything))
    for secret in (PASSWORD, SECRET, OLDER):
        assert secret not in caplog.text
