"""What pymongo raises, turned into our errors; no server is needed for that (RULES 44)."""

from __future__ import annotations

import inspect

import bson.errors
import dns.exception
import dns.name
import dns.resolver
import pymongo.errors
import pytest

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.repositories.mongo import MongoUserRepository, open_mongo
from tokenward.repositories.mongo import _errors as errors

SECRET = "hidden-Zq8"


def classes():
    found = [*vars(pymongo.errors).values(), *vars(bson.errors).values()]
    return sorted(
        {
            c
            for c in found
            if inspect.isclass(c) and issubclass(c, Exception) and c.__module__ != "ssl"
        },
        key=lambda c: c.__name__,
    )


def made(kind):
    """Return an exception of pymongo's that says what nobody may see."""
    details = {"errmsg": SECRET, "keyValue": {"username_key": SECRET}}
    if issubclass(kind, pymongo.errors.BulkWriteError | pymongo.errors.ClientBulkWriteException):
        arguments = [{"writeErrors": [{"code": 11_000, "op": {"hashed_password": SECRET}}]}]
        arguments += [True] if kind is pymongo.errors.ClientBulkWriteException else []
        return kind(*arguments)
    if issubclass(kind, pymongo.errors.OperationFailure):
        code = 11_000 if kind is pymongo.errors.DuplicateKeyError else 8
        return kind(SECRET, code, details)
    if kind is pymongo.errors.EncryptedCollectionError:
        return kind(ValueError(SECRET), details)
    if kind is pymongo.errors.EncryptionError:
        return kind(ValueError(SECRET))
    return kind(SECRET)


def raised_by(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which it is, is what is tested
        call()
    return caught.value


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_nothing_of_pymongos_escapes_or_is_attached(kind):
    """Each exception there is becomes ours, and nothing it says goes on."""

    def fail():
        raise made(kind)

    error = raised_by(lambda: errors.guarded("db", fail))
    expected = (
        errors.Taken
        if kind in (pymongo.errors.DuplicateKeyError, pymongo.errors.BulkWriteError)
        else AuthServiceUnavailable
    )
    assert expected is type(error)
    assert (None, None) == (error.__context__, error.__cause__)
    assert SECRET not in f"{error} {error!r} {vars(error)}"


@pytest.mark.parametrize(
    "error", [OverflowError(SECRET), UnicodeEncodeError("utf-8", SECRET, 0, 1, "")]
)
def test_what_cannot_be_encoded_is_not_written(error):
    """The encoder's exceptions are Python's own."""

    def fail():
        raise error

    ours = raised_by(lambda: errors.guarded("db", fail))
    assert AuthServiceUnavailable is type(ours)
    assert SECRET not in f"{ours.hint} {ours.__context__}"


def test_an_outage_says_what_happened_in_which_database():
    """An operator learns the kind of the error, its code and where; nothing that came with it."""
    error = pymongo.errors.OperationFailure(SECRET, 13, {"errmsg": SECRET})
    outage = errors.unavailable("db\n", error)
    assert "store_unavailable" == outage.reason
    assert (
        "the MongoDB database db\\x0a cannot be used (OperationFailure 13): "
        "give its user the role readWrite on this database"
    ) == outage.hint


@pytest.mark.parametrize("code", [13, 18, 85, 86, 8000])
def test_what_waiting_does_not_cure_stops_start_up(code):
    """The same error is an outage once the service runs."""
    error = pymongo.errors.OperationFailure(SECRET, code)
    assert ConfigurationError is type(errors.refusal("db", error))
    assert AuthServiceUnavailable is type(errors.unavailable("db", error))
    assert SECRET not in str(errors.refusal("db", error))


@pytest.mark.parametrize(
    "error",
    [
        pymongo.errors.ServerSelectionTimeoutError(SECRET),
        pymongo.errors.NotPrimaryError(SECRET),
        pymongo.errors.NetworkTimeout(SECRET),
        pymongo.errors.OperationFailure(SECRET, 11_600),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_server_that_is_down_does_not_stop_start_up(error):
    """It is there again later, and nothing is restarted for it (RULES 50)."""
    assert AuthServiceUnavailable is type(errors.refusal("db", error))


def looked_up(said):
    """Return what pymongo raises when DNS says something of a ``mongodb+srv://`` host."""

    def fail():
        try:
            raise said
        except dns.exception.DNSException:
            raise pymongo.errors.ConfigurationError(SECRET) from None

    return raised_by(fail)


@pytest.mark.parametrize(
    "said",
    [dns.resolver.LifetimeTimeout(timeout=1, errors=[]), dns.resolver.NXDOMAIN()],
    ids=lambda said: type(said).__name__,
)
def test_dns_that_is_down_does_not_stop_start_up(said):
    """Nor is the URL to blame for it, at start-up or later."""
    for turned in (errors.refusal, errors.unavailable):
        error = turned("db", looked_up(said))
        assert AuthServiceUnavailable is type(error)
        assert f"({type(said).__name__}): see whether DNS answers" in error.hint
        assert SECRET not in error.hint


@pytest.mark.parametrize("said", [dns.name.EmptyLabel(), dns.name.NoIDNA2008()])
def test_what_dns_cannot_be_asked_for_stops_start_up(said):
    """It is no name of a host, and will never be one."""
    assert ConfigurationError is type(errors.refusal("db", looked_up(said)))


def test_a_bulk_of_writes_is_taken_only_when_that_is_all_that_is_wrong():
    """Another error among them is no answer about names."""
    mixed = {"writeErrors": [{"code": 11_000}, {"code": 8}]}
    assert errors.is_duplicate(pymongo.errors.BulkWriteError(mixed)) is False
    concern = {"writeErrors": [], "writeConcernErrors": [{"code": 64}]}
    assert errors.is_duplicate(pymongo.errors.BulkWriteError(concern)) is False


WRONG_URLS = {
    "no host": f"mongodb://root:{SECRET}@/db",
    "bad port": f"mongodb://root:{SECRET}@host:port/db",
    "unescaped": f"mongodb://root:{SECRET}/@x@host/db",
    "option": f"mongodb://root:{SECRET}@host/db?maxPoolSize={SECRET}",
    "misspelt option": f"mongodb://root:{SECRET}@host/db?tsl=true",
    "scheme": f"http://root:{SECRET}@host/db",
    "half an option": f"mongodb://root:{SECRET}@host/db?tls",
    "file": f"mongodb://root:{SECRET}@host/db?tls=true&tlsCAFile=/nowhere/{SECRET}",
    "database": f"mongodb://root:{SECRET}@host/d%20b",
    "no database": f"mongodb://root:{SECRET}@host",
    "empty": "",
}


@pytest.mark.parametrize("url", WRONG_URLS.values(), ids=WRONG_URLS)
def test_a_wrong_url_stops_start_up_and_is_not_shown(url):
    """What pymongo says about it may be the half of a password; so nothing of it is repeated."""
    error = raised_by(lambda: open_mongo(url))
    assert ConfigurationError is type(error)
    assert "mongodb://" in str(error)
    assert SECRET not in f"{error} {error.__context__} {error.__cause__}"


@pytest.mark.parametrize("name", ["", "a.b", "a b", "$x", "a/b", "a\0", 5])
def test_what_is_no_name_of_a_database_stops_start_up(name):
    """Also where it is given beside the URL."""
    with pytest.raises(ConfigurationError, match="database"):
        MongoUserRepository("mongodb://127.0.0.1:9", database=name, bcrypt_cost=4)


def test_a_document_that_nobody_wrote_is_an_outage():
    """Whoever changed it by hand learns where; what is in it stays there."""

    def reader(document):
        raise ValueError(document["hashed_password"])

    error = raised_by(lambda: errors.read("db", reader, {"hashed_password": SECRET}))
    assert AuthServiceUnavailable is type(error)
    assert SECRET not in f"{error.hint} {error.__context__}"
    assert AuthServiceUnavailable is type(raised_by(lambda: errors.read("db", reader, {})))
