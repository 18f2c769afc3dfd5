"""redis_cache: what is refused before anything is connected, and what an error may say."""

import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from authority import Authority

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.redis_cache.address import read
from tokenward.redis_cache.connection import _bulk_strings
from tokenward.redis_cache.server import Server
from tokenward.redis_cache.sockets import MAX_BYTES, Bounded, BoundedTLS

SECRETS = ["kq3V-new-8fJ2_0pTzXw7Lm"]
BOTH = [RedisSharedCache, RedisRevocationBus]
# Nobody listens there.
NOWHERE = "redis://:PASSWORD@127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("redis://h", ("h", 6379, 0, None, None)),
        ("redis://h/", ("h", 6379, 0, None, None)),
        ("redis://10.0.0.1:7000/3", ("10.0.0.1", 7000, 3, None, None)),
        ("redis://[::1]:7000", ("::1", 7000, 0, None, None)),
        ("redis://:p%40ss%2F@h.example", ("h.example", 6379, 0, None, "p@ss/")),
        ("redis://u%3A:p@h/1", ("h", 6379, 1, "u:", "p")),
        ("rediss://u:p@h/1", ("h", 6379, 1, "u", "p")),
    ],
)
def test_a_url_says_where_and_who(url, known):
    """With the port and the database of a Redis as it is installed; TLS if it says so."""
    found = read(url)

    assert known == (found.host, found.port, found.db, found.username, found.password)
    assert url.startswith("rediss") is (found.tls is not None)


def test_what_is_shown_of_a_url_names_nobody():
    """Neither name nor password."""
    found = read("rediss://USER:PASSWORD@[::1]:7000/2")

    assert "rediss://[::1]:7000/2" == found.shown
    assert "USER" not in repr(found)
    assert "PASSWORD" not in repr(found)


def test_a_url_may_name_a_socket():
    """With the number of the database as an option."""
    known = read("unix://:p@/run/redis%20a/redis.sock?db=2")

    assert ("/run/redis a/redis.sock", 2, "p") == (known.path, known.db, known.password)
    assert "unix:///run/redis a/redis.sock" == known.shown


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "another scheme"),
        ("localhost:6379", "another scheme"),
        ("http://h", "another scheme"),
        ("redis-sentinel://h", "another scheme"),
        ("redis://", "no host"),
        ("redis:///0", "no host"),
        ("redis://:SECRET#1@h", "percent-encoded"),
        ("redis://:SEC/RET@h", "percent-encoded"),
        ("redis://:SECRET@h:port", "malformed port"),
        ("redis://h:0", "no host"),
        ("redis://h:70000", "malformed port"),
        ("redis://h..x", "no host"),
        ("redis://[::g]", "port or query|no host"),
        ("redis://h/cache", "number of a database"),
        ("redis://h/-1", "number of a database"),
        ("redis://h/1/2", "number of a database"),
        ("redis://h/²", "number of a database"),
        ("redis://h/0#x", "fragment"),
        ("redis://SECRET@h", "user name without a password"),
        ("redis://h?db=1", "option db"),
        ("redis://h?ssl_ca_certs=/x", "option ssl_ca_certs"),
        ("rediss://h?ssl_cert_reqs=none", "option ssl_cert_reqs"),
        ("rediss://h?ssl_check_hostname=false", "option ssl_check_hostname"),
        ("rediss://h?ssl_certfile=/x&ssl_certfile=/y", "twice"),
        ("rediss://h?ssl_certfile=/x", "needs both"),
        ("rediss://h?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs a file"),
        ("rediss://h?password=SECRET", "option password"),
        ("unix://run/redis.sock", "no absolute path"),
        ("unix://", "no absolute path"),
        ("unix:///run/redis.sock?timeout=1", "option timeout"),
        ("unix:///run/redis.sock?db=x", "number of a database"),
        ("redis://h\n", "white space"),
        (" redis://h", "white space"),
        (b"redis://h", "is a string"),
        (None, "is a string"),
    ],
)
@pytest.mark.parametrize("make", BOTH)
def test_a_url_that_cannot_be_meant_stops_the_program(make, url, why):
    """The message says what to write, and holds nothing that may be a password."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        make(url, secrets=SECRETS)
    said = str(caught.value)

    assert "redis://HOST:PORT/DB" in said
    assert "SEC" not in said
    assert caught.value.__context__ is None


@pytest.mark.parametrize("timeout", [0, -1, None, "1", float("inf"), float("nan"), True])
@pytest.mark.parametrize("make", BOTH)
def test_a_timeout_is_a_number_of_seconds(make, timeout):
    """Without one a Redis that says nothing would hold a request for ever."""
    with pytest.raises(ConfigurationError, match="timeout is a number of seconds"):
        make("redis://h", secrets=SECRETS, timeout=timeout)


@pytest.mark.parametrize("pool_size", [0, -1, 1.5, None, True])
def test_a_pool_has_a_size(pool_size):
    """One place at least."""
    with pytest.raises(ConfigurationError, match="pool_size is a whole number"):
        RedisSharedCache("redis://h", secrets=SECRETS, pool_size=pool_size)


@pytest.mark.parametrize("name", ["", "a b", "ä", None, b"x", "a\n"])
def test_names_are_visible_ascii(name):
    """So that they can be written into a command line."""
    with pytest.raises(ConfigurationError, match="prefix is a string"):
        RedisSharedCache("redis://h", secrets=SECRETS, prefix=name)
    with pytest.raises(ConfigurationError, match="channel is a string"):
        RedisRevocationBus("redis://h", secrets=SECRETS, channel=name)


@pytest.mark.parametrize("secrets", [[], None, SECRETS[0], ["short"], ["changemechangeme"]])
@pytest.mark.parametrize("make", BOTH)
def test_secrets_are_real_ones(make, secrets):
    """Nothing is shared under a secret that can be guessed."""
    with pytest.raises(ConfigurationError, match=r"secret|Secret"):
        make("redis://h", secrets=secrets)


@pytest.mark.parametrize("make", BOTH)
def test_making_one_connects_nowhere(make):
    """A Redis that is down stops no program; the first use says that it is."""
    made = make(NOWHERE, secrets=SECRETS)

    assert f"{make.__name__}(redis://127.0.0.1:1/0)" == repr(made)
    assert tuple(SECRETS) == made.secrets
    made.close()


@pytest.mark.parametrize("make", BOTH)
def test_one_is_not_pickled(make):
    """It holds secrets and sockets."""
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(make("redis://h", secrets=SECRETS))


@pytest.mark.parametrize(
    "use",
    [
        lambda: RedisSharedCache(NOWHERE, secrets=SECRETS, timeout=60).get_many([b"a"]),
        lambda: RedisSharedCache(NOWHERE, secrets=SECRETS, timeout=60).set(b"a", b"b", ttl=1),
        lambda: RedisSharedCache(NOWHERE, secrets=SECRETS, timeout=60).delete(b"a"),
        lambda: RedisRevocationBus(NOWHERE, secrets=SECRETS, timeout=60).publish(b"a"),
    ],
    ids=["get_many", "set", "delete", "publish"],
)
def test_what_is_down_is_an_outage(use):
    """With a hint for the log, no text of another library's behind it, and no password."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        use()
    error = caught.value

    assert "shared_cache" == error.reason
    assert error.hint.startswith("Redis at redis://127.0.0.1:1/0: ")
    assert "refused" in error.hint
    assert "PASSWORD" not in error.hint
    assert (None, None) == (error.__cause__, error.__context__)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("ResponseError", "OOM command not allowed", "it answers OOM; its memory is full"),
        ("OutOfMemoryError", "command not allowed", "its memory is full"),
        ("ReadOnlyError", "You can't write", "it is a replica; name the primary"),
        ("ResponseError", "READONLY You can't write", "it is a replica; name the primary"),
        ("MovedError", "1 h:1", "it belongs to a cluster"),
        ("ResponseError", "NOPERM this user", "it answers NOPERM; its user may not"),
        ("AuthenticationError", "invalid password", "check the user name and the password"),
        ("ResponseError", "WRONGPASS invalid", "check the user name and the password"),
        ("BusyLoadingError", "Redis is loading", "it answers BusyLoadingError; look at its log"),
        ("ResponseError", "ERR unknown command, with args 'SECRET'", "it answers ResponseError"),
        ("InvalidResponse", "Protocol Error: SECRET", "it answers InvalidResponse"),
        ("ValueError", "invalid literal 'SECRET'", "it answers ValueError"),
        ("ConnectionError", "Connection closed by server.", "Connection closed by server."),
        ("TimeoutError", "Timeout\r\nreading", r"Timeout\x0d\x0areading"),
    ],
)
def test_an_error_is_explained_without_what_the_server_said(name, text, says):
    """A server repeats what it did not understand, and that may be the password."""
    error = type(name, (Exception,), {})(text)
    explained = Server("redis://h", timeout=1, pool_size=1).explained(error)

    assert "shared_cache" == explained.reason
    assert says in explained.hint
    assert "SECRET" not in explained.hint


@pytest.mark.parametrize(
    "error",
    [ConnectionError("closed"), AuthServiceUnavailable("unknown", reason="dns")],
    ids=str,
)
def test_an_explained_error_names_the_server_once(error):
    """The listener has those explained that connecting has explained already."""
    server = Server("redis://h", timeout=1, pool_size=1)
    explained = server.explained(server.explained(error))

    assert "shared_cache" == explained.reason
    assert explained.hint.startswith("Redis at redis://h")
    assert 1 == explained.hint.count("Redis at ")


def test_without_redis_py_the_extra_is_named(tmp_path):
    """Importing the room is no error yet: who names no Redis needs none."""
    (tmp_path / "redis.py").write_text("raise ImportError('no')")
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from tokenward.errors import ConfigurationError
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
for make in RedisRevocationBus, RedisSharedCache:
    try:
        make("redis://h", secrets={SECRETS!r})
    except ConfigurationError as error:
        print(error, error.__context__)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )

    assert ["Redis needs redis-py: install tokenward[redis]. None"] * 2 == done.stdout.splitlines()


def test_importing_the_room_loads_no_redis():
    """It is for those who use it, and starts no thread."""
    script = (
        "import sys, threading, tokenward.redis_cache;"
        "print('redis' in sys.modules, threading.active_count())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )

    assert "False 1" == done.stdout.strip()


@pytest.mark.parametrize(
    ("received", "count", "values"),
    [
        (b"$1\r\na\r\n", 1, [b"a"]),
        (b"$0\r\n\r\n$3\r\n\r\n$\r\n", 2, [b"", b"\r\n$"]),
        (b"", 1, None),
        (b"$1\r\na\r\n", 2, None),
        (b"$1\r\na\r\n$0\r\n\r\n", 1, None),
        (b"$1\r\na", 1, None),
        (b"$1\r\nab\r\n", 1, None),
        (b"$1\r\nabc", 1, None),
        (b"$2\r\na\r\n", 1, None),
        (b"$-1\r\n", 1, None),
        (b"$+1\r\na\r\n", 1, None),
        (b"$99999999\r\na\r\n", 1, None),
        (b"+OK\r\n", 1, None),
        (b"-WRONGTYPE\r\n$0\r\n\r\n", 2, None),
    ],
)
def test_whole_bulk_strings_are_read_here_and_all_else_by_redis_py(received, count, values):
    """Exactly as many as were asked for, and nothing before, between or after them."""
    assert values == _bulk_strings(received, count)


def test_what_is_given_back_is_read_first():
    """By whichever way, in as many pieces as the reader wants, and counted once."""
    one, other = socket.socketpair()
    with one, Bounded(fileno=other.detach()) as bounded:
        bounded.allow(time.monotonic() + 90)
        one.sendall(b"abcdef")
        bounded.give_back(bounded.recv(4))
        buffer = bytearray(2)

        assert (2, b"ab") == (bounded.recv_into(buffer), bytes(buffer))
        assert [b"cd", b"ef"] == [bounded.recv(9), bounded.recv(9)]
        assert MAX_BYTES - 6 == bounded.left


def test_nothing_is_asked_about_no_keys():
    """Not even whether there is a Redis."""
    assert [] == RedisSharedCache(NOWHERE, secrets=SECRETS).get_many([])


def test_what_was_given_back_is_input_until_it_is_read():
    """The kernel knows nothing of it."""
    one, other = socket.socketpair()
    with one, Bounded(fileno=other.detach()) as bounded:
        bounded.allow(time.monotonic() + 90)
        found = [bounded.has_input()]
        bounded.give_back(b"ab")
        found.append(bounded.has_input())
        bounded.recv(1)
        found.append(bounded.has_input())
        bounded.recv(1)

        assert [False, True, True, False] == [*found, bounded.has_input()]


def test_what_tls_has_decrypted_is_input_until_it_is_read(tmp_path):
    """The kernel knows nothing of that either."""
    authority = Authority(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(*authority.issue("localhost"))
    # Tickets are no data, but input.
    theirs.num_tickets = 0
    ours = ssl.create_default_context(cafile=authority.path)
    ours.sslsocket_class = BoundedTLS
    one, other = socket.socketpair()

    def answer():
        with theirs.wrap_socket(one, server_side=True) as secured:
            secured.sendall(b"ab")
            secured.recv(1)

    thread = threading.Thread(target=answer)
    thread.start()
    with ours.wrap_socket(
        Bounded(fileno=other.detach()), server_hostname="localhost", do_handshake_on_connect=False
    ) as bounded:
        bounded.allow(time.monotonic() + 90)
        bounded.do_handshake()
        bounded.recv(1)
        before = bounded.has_input()
        bounded.recv(1)

        assert (True, False) == (before, bounded.has_input())
        bounded.sendall(b"c")
        thread.join()
