"""by_issuer.py: routing by issuer, never trying (RULES 11, 14, 45)."""

import base64
import json
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward import _jose
from tokenward.by_issuer import MAX_REMEMBERED, ByIssuer, Unreserved
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
    TokenExpired,
)
from tokenward.principal import Principal
from tokenward.testing import FakeClock, StubVerifier

KEY = _jose.generate_key("ES256")
ONE = "https://one.example"
TWO = "https://two.example"


class Recorder:
    """A verifier that takes every token, and remembers which."""

    def __init__(self, name, *, cached=None):
        self.principal = Principal(name)
        self.seen = []
        self._cached = cached

    def verify(self, token, /, *, live=False):
        self.seen.append((token, live))
        return self.principal

    def cached(self, token, /):
        if isinstance(self._cached, AuthError):
            raise self._cached
        return self._cached


def token(**claims):
    return _jose.sign(claims, KEY)


def unsigned(header, claims):
    def encode(text):
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    return f"{encode(header)}.{encode(claims)}.c2ln"


@pytest.fixture
def one():
    return Recorder("one")


@pytest.fixture
def two():
    return Recorder("two")


@pytest.fixture
def opaque():
    return Recorder("opaque")


@pytest.fixture
def routed(one, two, opaque):
    return ByIssuer({ONE: one, TWO: two}, otherwise=opaque)


def reason(verifier, value, **options):
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(value, **options)
    return caught.value.reason


def test_a_jwt_goes_to_the_verifier_of_its_issuer(routed, one, two):
    """Whole, and with live."""
    first, second = token(iss=ONE, sub="a"), token(iss=TWO, sub="b")
    assert routed.verify(first) is one.principal
    assert routed.verify(second, live=True) is two.principal
    assert (one.seen, two.seen) == ([(first, False)], [(second, True)])


def test_the_same_token_is_routed_again_without_being_parsed_again(routed, one):
    """What a token says never changes."""
    value = token(iss=ONE)
    assert [routed.verify(value), routed.verify(value)] == [one.principal] * 2
    assert len(one.seen) == 2


@pytest.mark.parametrize(
    "iss",
    [
        "https://three.example",
        ONE + "/",
        ONE.upper(),
        "",
        None,
        7,
        [ONE],
        {"a": ONE},
        ONE + "\u200b",
        "x" * 5_000,
    ],
)
def test_a_jwt_of_an_unregistered_issuer_is_sent_to_nobody(routed, one, two, opaque, iss):
    """Not to `otherwise` either; issuers are compared code point by code point."""
    assert reason(routed, token(iss=iss)) == "unknown_issuer"
    assert reason(routed, token(sub="no iss")) == "unknown_issuer"
    assert one.seen == two.seen == opaque.seen == []


@pytest.mark.parametrize(
    "value",
    [
        "opaque",
        "2YotnFZFEjr1zCsicMWpAA",
        "a.b.c",
        "v4.public.eyJhIjoxfQ",
        "a.b",
        "",
        "é",
        "e.e.e.e.e",
    ],
)
def test_what_is_no_jwt_goes_to_otherwise(routed, opaque, value):
    """It alone knows how to ask about opaque tokens."""
    assert routed.verify(value) is opaque.principal


@pytest.mark.parametrize(
    "value",
    [
        unsigned('{"alg":"none"}', json.dumps({"iss": ONE})),
        unsigned('{"alg":"ES256","crit":["x"]}', json.dumps({"iss": ONE})),
        unsigned('{"alg":"ES256"}', '{"iss":"https://one.example","iss":"https://two.example"}'),
        unsigned('{"alg":"ES256","alg":"RS256"}', json.dumps({"iss": ONE})),
        unsigned('{"alg":"ES256"}', "[1]"),
        unsigned('{"alg":"ES256"', json.dumps({"iss": ONE})),
        token(iss=ONE) + "=",
        token(iss=ONE).replace(".", ".\n", 1),
        token(iss=ONE, pad="x" * 20_000),
    ],
)
def test_what_means_to_be_a_jwt_and_is_none_is_refused(routed, one, opaque, value):
    """It is no opaque token, and a lenient server behind `otherwise` never sees it."""
    assert reason(routed, value) in {"malformed", "algorithm", "critical_header", "too_large"}
    assert one.seen == opaque.seen == []


def test_without_otherwise_an_opaque_token_is_refused(one):
    """There is nobody to ask."""
    assert reason(ByIssuer({ONE: one}), "opaque") == "malformed"


def test_the_registry_is_not_the_callers_mapping(one, two):
    """What is added later is not let in."""
    mapping = {ONE: one}
    routed = ByIssuer(mapping)
    mapping[TWO] = two
    assert reason(routed, token(iss=TWO)) == "unknown_issuer"


@pytest.mark.parametrize("value", [None, b"bytes", 7, "\ud800", "eyJ\ud800.a.b"])
def test_only_documented_errors_escape_whatever_comes(one, value):
    """Programs hand in strange things."""
    with pytest.raises(InvalidToken):
        ByIssuer({ONE: one}).verify(value)


@given(st.text())
def test_any_text_is_routed_or_refused(value):
    """Nothing but our own errors, with and without `otherwise`."""
    opaque = Recorder("opaque")
    try:
        assert ByIssuer({ONE: Recorder("one")}, otherwise=opaque).verify(value) is opaque.principal
    except InvalidToken:
        assert value.startswith("e")
    with pytest.raises(InvalidToken):
        ByIssuer({ONE: Recorder("one")}).verify(value)


def test_cached_asks_the_verifier_it_would_route_to(opaque):
    """Known, unknown, refused, or no cache at all."""

    class Plain:
        def verify(self, token, /, *, live=False):
            raise AssertionError

    known = Principal("known")
    routed = ByIssuer(
        {
            ONE: Recorder("one", cached=known),
            TWO: Plain(),
            "x": Recorder("x", cached=TokenExpired()),
        },
        otherwise=opaque,
    )
    assert routed.cached(token(iss=ONE)) is known
    assert routed.cached(token(iss=TWO)) is None
    assert routed.cached("opaque") is None
    with pytest.raises(TokenExpired):
        routed.cached(token(iss="x"))
    with pytest.raises(InvalidToken):
        routed.cached(token(iss="y"))


class Registry:
    """A function from issuers to verifiers, that remembers what it was asked."""

    def __init__(self, verifiers):
        self.verifiers = verifiers
        self.asked = []

    def __call__(self, issuer):
        self.asked.append(issuer)
        answer = self.verifiers.get(issuer)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_function_is_asked_once_an_issuer_and_ttl(one):
    """For those that are ours, and for those that are not."""
    clock = FakeClock()
    registry = Registry({ONE: one})
    routed = ByIssuer(registry, ttl=300, clock=clock)
    for _ in range(3):
        assert routed.verify(token(iss=ONE, n=clock())) is one.principal
        assert reason(routed, token(iss=TWO)) == "unknown_issuer"
        clock.advance(99)
    assert registry.asked == [ONE, TWO]
    clock.advance(3)
    routed.verify(token(iss=ONE))
    assert registry.asked == [ONE, TWO, ONE]


def test_a_new_answer_replaces_the_old_one_after_ttl(one, two):
    """A tenant that is gone is refused, one that came is let in."""
    clock = FakeClock()
    registry = Registry({ONE: one})
    routed = ByIssuer(registry, ttl=10, clock=clock)
    routed.verify(token(iss=ONE))
    reason(routed, token(iss=TWO))
    registry.verifiers = {TWO: two}
    clock.advance(10)
    assert reason(routed, token(iss=ONE)) == "unknown_issuer"
    assert routed.verify(token(iss=TWO)) is two.principal


def test_made_up_issuers_cannot_push_out_real_ones(one):
    """Each kind has its own bound."""
    registry = Registry({ONE: one})
    routed = ByIssuer(registry, max_verifiers=5)
    routed.verify(token(iss=ONE))
    for n in range(50):
        reason(routed, token(iss=f"https://made-up-{n}.example"))
    routed.verify(token(iss=ONE, again=True))
    assert registry.asked.count(ONE) == 1
    assert routed._asked.stats().entries <= 10


def test_a_function_that_fails_is_an_outage_and_is_asked_again(one):
    """Not knowing is not refusing; the failure's text goes to the log only."""
    registry = Registry({ONE: RuntimeError("database password is hunter2")})
    routed = ByIssuer(registry)
    with pytest.raises(AuthServiceUnavailable) as caught:
        routed.verify(token(iss=ONE))
    assert caught.value.reason == "issuer_lookup_failed"
    assert "hunter2" not in caught.value.hint
    assert caught.value.__cause__ is None
    registry.verifiers[ONE] = one
    assert routed.verify(token(iss=ONE)) is one.principal


def test_a_functions_own_error_passes(one):
    """It may know better what to say."""
    registry = Registry({ONE: AuthServiceUnavailable("tenants are moving", retry_after=30)})
    with pytest.raises(AuthServiceUnavailable) as caught:
        ByIssuer(registry).verify(token(iss=ONE))
    assert caught.value.retry_after == 30


def test_an_endless_issuer_is_not_asked_about():
    """The function is somebody's database."""
    registry = Registry({})
    assert reason(ByIssuer(registry), token(iss="x" * 2_049)) == "unknown_issuer"
    assert registry.asked == []


def test_cached_asks_no_function():
    """It may be I/O."""
    known = Principal("known")
    registry = Registry({ONE: Recorder("one", cached=known)})
    routed = ByIssuer(registry)
    assert routed.cached(token(iss=ONE)) is None
    assert registry.asked == []
    routed.verify(token(iss=ONE))
    assert routed.cached(token(iss=ONE)) is known


def test_many_threads_ask_the_function_once(one):
    """The others wait for the answer."""
    barrier = threading.Barrier(9)
    asked = []
    may_answer = threading.Event()

    def registry(issuer):
        asked.append(issuer)
        may_answer.wait(90)
        return one

    routed = ByIssuer(registry)
    results = []

    def ask(n):
        value = token(iss=ONE, n=n)
        barrier.wait(90)
        results.append(routed.verify(value))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    barrier.wait(90)
    may_answer.set()
    for thread in threads:
        thread.join(90)
    assert asked == [ONE]
    assert results == [one.principal] * 8


def test_what_is_remembered_of_tokens_is_bounded(one):
    """New tokens for ever do not fill the memory."""
    routed = ByIssuer({ONE: one})
    for n in range(MAX_REMEMBERED + 50):
        routed.verify(unsigned('{"alg":"ES256"}', f'{{"iss":"{ONE}","n":{n}}}'))
    assert 0 < len(routed._issuers) <= MAX_REMEMBERED


def test_tokens_that_nobody_accepts_push_out_none_that_are_in_use(one):
    """Whoever makes tokens up can name a registered issuer, and get no further."""

    class Strict(Recorder):
        def verify(self, token, /, *, live=False):
            if token != good:
                raise InvalidToken
            return super().verify(token, live=live)

    for registry in ({ONE: Strict("one")}, {ONE: Strict("one")}.get):
        routed = ByIssuer(registry)
        good = token(iss=ONE, sub="a")
        routed.verify(good)
        for n in range(50):
            reason(routed, unsigned('{"alg":"ES256"}', f'{{"iss":"{ONE}","n":{n}}}'))
        assert [ONE] == list(routed._issuers.values())


def test_what_is_remembered_of_a_token_outlives_no_registration(one):
    """A tenant that is gone is refused, also with a token that was accepted before."""
    clock = FakeClock()
    registry = Registry({ONE: one})
    routed = ByIssuer(registry, ttl=10, clock=clock)
    value = token(iss=ONE)
    routed.verify(value)
    registry.verifiers = {}
    assert routed.verify(value) is one.principal
    clock.advance(10)
    assert "unknown_issuer" == reason(routed, value)


@pytest.mark.parametrize(
    ("verifiers", "options"),
    [({}, {}), ({ONE: None}, {"ttl": 0}), ({ONE: None}, {"max_verifiers": 0})],
)
def test_a_router_that_could_not_work_is_a_configuration_error(verifiers, options):
    """It fails when the program starts."""
    with pytest.raises(ConfigurationError):
        ByIssuer(verifiers, **options)


@pytest.mark.parametrize("callable_form", [False, True])
def test_who_answers_for_opaque_tokens_cannot_speak_for_a_registered_issuer(callable_form):
    """Two servers must not be able to make one identity; an issuer of nobody else's is welcome."""
    registered = {ONE: Recorder("one")}
    other = Recorder("opaque", cached=Principal("a", issuer=ONE))
    other.principal = Principal("a", issuer=ONE)
    verifiers = registered.get if callable_form else registered
    routed = ByIssuer(verifiers, otherwise=other)
    assert "unknown_issuer" == reason(routed, "opaque-token")
    with pytest.raises(InvalidToken):
        routed.cached("opaque-token")
    other.principal = Principal("a", issuer=TWO)
    assert routed.verify("opaque-token") is other.principal


def test_an_issuer_that_is_nobodys_costs_no_error():
    """It would be made with its advice, which costs more than the rest of a hit."""
    routed, value = ByIssuer({ONE: Says(TWO)}), token(iss=ONE)
    ran = set()
    sys.setprofile(lambda frame, *_: ran.add(frame.f_globals["__name__"]))
    try:
        decided = routed.verify(value), routed.cached(value)
    finally:
        sys.setprofile(None)

    assert [TWO, TWO] == [principal.issuer for principal in decided]
    assert "tokenward.by_issuer" in ran
    assert "tokenward.errors" not in ran


def test_who_answers_for_opaque_tokens_may_be_registered_too():
    """One server for its JWTs and for its opaque tokens."""
    server = Recorder("server", cached=Principal("a", issuer=ONE))
    server.principal = Principal("a", issuer=ONE)
    routed = ByIssuer({ONE: server}, otherwise=server)
    assert routed.verify("opaque-token") is server.principal
    assert ONE == routed.cached("opaque-token").issuer


def test_a_server_that_may_name_anybody_names_nobody_elses_people():
    """Cached or not; and what it says of others stands."""
    named = {"theirs": Principal("root", issuer="https://a.example"), "own": Principal("ann")}
    verifier = Unreserved(StubVerifier(named), frozenset({"https://a.example"}))
    assert "ann" == verifier.verify("own").subject
    assert "ann" == verifier.cached("own").subject
    for decide in (verifier.verify, verifier.cached):
        with pytest.raises(InvalidToken) as caught:
            decide("theirs")
        assert "unknown_issuer" == caught.value.reason
    assert verifier.serves_live


class Warm(Recorder):
    """A verifier that has something to fetch, and may know who presents nothing."""

    def __init__(self, name, *, able=True, somebody=None, detail=None):
        super().__init__(name)
        self.able = able
        self.somebody = somebody
        self.absent_detail = detail
        self.warmed = 0
        self.asked = []

    def warm_up(self):
        self.warmed += 1
        return self.able

    def absent(self, headers, peer, /, *, live=False):
        self.asked.append((headers, peer, live))
        return self.somebody


@pytest.mark.parametrize(
    ("able", "expected"), [((True, True), True), ((False, True), False), ((True, False), False)]
)
def test_all_are_warmed_up(one, able, expected):
    """Also after one that could not be; who has nothing to fetch is ready."""
    first, second = (Warm(str(n), able=it) for n, it in enumerate(able))
    routed = ByIssuer({ONE: first, TWO: one}, otherwise=Unreserved(second, frozenset()))
    assert expected == routed.warm_up()
    assert (1, 1) == (first.warmed, second.warmed)


def test_a_function_is_not_asked_whom_to_warm_up(one):
    """Nobody can say for which issuers."""
    registry = Registry({ONE: one})
    assert ByIssuer(registry).warm_up()
    assert [] == registry.asked


def test_a_verifier_may_know_who_presents_nothing(one):
    """The first that does; the others are not asked."""
    nobody, somebody = Warm("nobody"), Warm("x", somebody=Principal("dev"), detail="told")
    last = Warm("y", somebody=Principal("other"), detail="other")
    routed = ByIssuer({"https://0.example": one, ONE: nobody, TWO: somebody}, otherwise=last)
    headers = {}
    assert somebody.somebody is routed.absent(headers, "127.0.0.1", live=True)
    assert [(headers, "127.0.0.1", True)] == nobody.asked == somebody.asked
    assert [] == last.asked
    assert "told" == routed.absent_detail


def test_mostly_nobody_knows(routed):
    """Then nothing is said of it either."""
    assert routed.absent({}, "127.0.0.1") is None
    assert routed.absent_detail is None


class Says:
    """A verifier that says whose the token is, whatever the token says."""

    def __init__(self, issuer, subject="admin"):
        self.principal = Principal(subject, issuer=issuer)

    def verify(self, token, /, *, live=False):
        return self.principal

    def cached(self, token, /):
        return self.principal


@pytest.mark.parametrize("form", [dict, lambda mapping: mapping.get], ids=["mapping", "function"])
def test_no_registered_issuer_speaks_for_another(one, form):
    """RULES 11: also one whose token was routed to it."""
    routed = ByIssuer(form({ONE: one, TWO: Says(ONE)}))
    routed.verify(token(iss=ONE))
    value = token(iss=TWO)
    assert "unknown_issuer" == reason(routed, value)
    with pytest.raises(InvalidToken) as caught:
        routed.cached(value)
    assert "verifier of its own" in caught.value.hint


def test_a_verifier_of_two_issuers_may_name_either():
    """And one that nobody else speaks for."""
    both = Says(TWO)
    routed = ByIssuer({ONE: both, TWO: both, "https://3.example": Says("https://4.example")})
    assert TWO == routed.verify(token(iss=ONE)).issuer
    assert TWO == routed.cached(token(iss=ONE)).issuer
    assert "https://4.example" == routed.verify(token(iss="https://3.example")).issuer


def test_an_opaque_token_is_good_twice():
    """What the function said of its issuer is no refusal of the token."""
    registry = Registry({})
    routed = ByIssuer(registry, otherwise=Says(TWO))
    assert routed.cached("opaque") is None
    for _ in range(2):
        assert TWO == routed.verify("opaque").issuer
        assert TWO == routed.cached("opaque").issuer
    assert [TWO] == registry.asked


@pytest.mark.parametrize("what", [5, "https://x.example", {}, object()], ids=repr)
def test_what_is_no_verifier_is_an_outage_or_stops_the_start(what, caplog):
    """It is a mistake in the program, and nobody's bad token."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        ByIssuer(lambda _issuer: what).verify(token(iss=ONE))
    assert "issuer_lookup_failed" == caught.value.reason
    assert "which is no verifier" in caplog.text
    for make in (lambda: ByIssuer({ONE: what}), lambda: ByIssuer({ONE: Says(ONE)}, otherwise=what)):
        with pytest.raises(ConfigurationError, match="has no method verify"):
            make()


@pytest.mark.parametrize("verifiers", [5, None, [(ONE, Says(ONE))], "x"], ids=repr)
def test_what_is_no_registry_stops_the_start(verifiers):
    """With what it takes."""
    with pytest.raises(ConfigurationError, match="a mapping of issuers to verifiers"):
        ByIssuer(verifiers)


@pytest.mark.parametrize("issuer", ["", 5, None])
def test_what_is_no_issuer_stops_the_start(issuer):
    """As a key of the mapping."""
    with pytest.raises(ConfigurationError, match="is no issuer"):
        ByIssuer({issuer: Says(ONE)})


def test_what_the_function_raised_is_not_logged(caplog):
    """Its text may hold the address and the password of a database."""

    class Unreachable(Exception):
        """Of a driver."""

    def failing(_issuer):
        raise Unreachable("postgresql://app:s3cr3t@db/tenants")

    with pytest.raises(AuthServiceUnavailable) as caught:
        ByIssuer(failing).verify(token(iss=ONE))
    assert "Unreachable" in caplog.text
    assert "s3cr3t" not in caplog.text
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)


@pytest.mark.parametrize("alg", ["Ed25519", "ES256K", "RS1"])
def test_a_token_of_any_algorithm_finds_its_issuer(one, alg):
    """Whoever it is for knows what they accept; ``none`` is nobody's."""
    value = unsigned(f'{{"alg":"{alg}"}}', f'{{"iss":"{ONE}"}}')
    assert one.principal is ByIssuer({ONE: one}).verify(value)


@pytest.mark.parametrize("alg", ["none", "None", "NONE"])
def test_an_unsecured_token_is_nobodys(one, opaque, alg):
    """It is routed to no verifier at all."""
    value = unsigned(f'{{"alg":"{alg}"}}', f'{{"iss":"{ONE}"}}')
    routed = ByIssuer({ONE: one}, otherwise=opaque)
    assert "algorithm" == reason(routed, value)
    assert [] == one.seen == opaque.seen


def test_the_largest_token_that_somebody_takes_is_read(one):
    """Larger ones are refused unread."""
    value = token(iss=ONE, pad="x" * 30_000)
    assert "too_large" == reason(ByIssuer({ONE: one}), value)
    assert one.principal is ByIssuer({ONE: one}, max_token_bytes=60_000).verify(value)
    with pytest.raises(ConfigurationError):
        ByIssuer({ONE: one}, max_token_bytes=0)


@pytest.mark.parametrize(
    ("iss", "advice"), [(ONE + "/", "trailing slash"), ("http://one.example", "scheme")]
)
def test_an_unknown_issuer_is_compared(one, two, iss, advice):
    """As it is where there is one only."""
    with pytest.raises(InvalidToken) as caught:
        ByIssuer({ONE: one, TWO: two}).verify(token(iss=iss))
    assert advice in caught.value.hint


def test_hundreds_are_not_compared(one):
    """Whoever makes issuers up must not make us work."""
    many = {f"https://{n}.example": one for n in range(500)}
    with pytest.raises(InvalidToken) as caught:
        ByIssuer(many).verify(token(iss="https://7.example/"))
    assert "trailing slash" not in caught.value.hint


def test_whoever_may_name_anybody_may_know_who_presents_nothing():
    """What stands before a verifier hides nothing of it but other issuers."""
    known = Warm("x", somebody=Principal("dev", issuer="https://5.example"), detail="told")
    known.issuer = "https://5.example"
    before = Unreserved(known, frozenset({ONE}))
    assert ("told", "https://5.example") == (before.absent_detail, before.issuer)
    assert known.somebody is before.absent({}, "127.0.0.1")
    assert (None, None) == (Unreserved(Says(TWO), frozenset()).absent({}, None), None)
    known.somebody = Principal("dev", issuer=ONE)
    with pytest.raises(InvalidToken):
        before.absent({}, "127.0.0.1")
