"""RFC 7520, Examples of Protecting Content Using JOSE: signatures (4) and nesting (6)."""

from __future__ import annotations

import json

import pytest

from tokenward import _jose
from tokenward.errors import ConfigurationError, InvalidSignature, InvalidToken, TokenExpired
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeClock

# Section 3: the keys; 3.2 and 3.4 are the private halves of 3.1 and 3.3.
EC = {
    "kty": "EC",
    "kid": "bilbo.baggins@hobbiton.example",
    "use": "sig",
    "crv": "P-521",
    "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
    "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
}
RSA = {
    "kty": "RSA",
    "kid": "bilbo.baggins@hobbiton.example",
    "use": "sig",
    "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZ"
    "QHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oB"
    "HqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVb"
    "b9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHd"
    "rNP5zw",
    "e": "AQAB",
}
MAC = {
    "kty": "oct",
    "kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037",
    "use": "sig",
    "alg": "HS256",
    "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
}
ENCRYPTION = {
    "kty": "oct",
    "kid": "1e571774-2e08-40da-8308-e8d68773842d",
    "use": "enc",
    "alg": "A256GCM",
    "k": "AAPapAv4LbFbiVawEjagUBluYqN5rhna-8nuldDvOx8",
}
EC_PRIVATE = (
    "AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJt"
)

# Section 4: the payload, which is a sentence, and each section's header and signature.
PAYLOAD = (
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAg"
    "b250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dp"
    "bmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
)
HEADER_4_1 = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9"
SIGNATURE_4_1 = (
    "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83"
    "xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJ"
    "Dt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12"
    "podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
)
HEADER_4_2 = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9"
SIGNATURE_4_2 = (
    "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6"
    "O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqi"
    "VJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_"
    "jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
)
HEADER_4_3 = "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9"
SIGNATURE_4_3 = (
    "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJ"
    "AQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"
)
HEADER_4_4 = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9"
SIGNATURE_4_4 = "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"
HEADER_4_6 = "eyJhbGciOiJIUzI1NiJ9"
SIGNATURE_4_6 = "bWUSVaxorn7bEF1djytBd0kHv70Ly5pvbomzMWSOr20"
SIGNATURE_4_7 = "xuLifqLGiblpv9zBpuZczWhNj1gARaLV3UxvxhJxZuk"
HEADER_4_8_2 = "eyJhbGciOiJSUzI1NiJ9"
SIGNATURE_4_8_2 = (
    "MIsjqtVlOpa71KE-Mss8_Nq2YH4FGhiocsqrgi5NvyG53uoimic1tcMdSg-qptrzZc7CG6Svw2Y13TDIqHzTUrL_"
    "lR2ZFcryNFiHkSw129EghGpwkpxaTn_THJTCglNbADko1MZBCdwzJxwqZc-1RlpO2HibUYyXSwO97BSe0_evZKdj"
    "vvKSgsIqjytKSeAMbhMBdMma622_BG5t4sdbuCHtFjp9iJmkio47AIwqkZV1aIZsv33uPUqBBCXbYoQJwt7mxPft"
    "HmNlGoOSMxR_3thmXTCm4US-xiNOyhbm8afKK64jU6_TPtQHiJeQJxz9G3Tx-083B745_AfYOnlC9w"
)
SIGNATURE_4_8_3 = (
    "ARcVLnaJJaUWG8fG-8t5BREVAuTY8n8YHjwDO1muhcdCoFZFFjfISu0Cdkn9Ybdlmi54ho0x924DUz8sK7ZXkhc7"
    "AFM8ObLfTvNCrqcI3Jkl2U5IX3utNhODH6v7xgy1Qahsn0fyb4zSAkje8bAWz4vIfj5pCMYxxm4fgV3q7ZYhm5eD"
)

# Section 6: a JWT, which the example then encrypts.
KEY_6 = {
    "kty": "RSA",
    "kid": "hobbiton.example",
    "use": "sig",
    "n": "kNrPIBDXMU6fcyv5i-QHQAQ-K8gsC3HJb7FYhYaw8hXbNJa-t8q0lDKwLZgQXYV-ffWxXJv5GGrlZE4GU52l"
    "fMEegTDzYTrRQ3tepgKFjMGg6Iy6fkl1ZNsx2gEonsnlShfzA9GJwRTmtKPbk1s-hwx1IU5AT-AIelNqBgcF"
    "2vE5W25_SGGBoaROVdUYxqETDggM1z5cKV4ZjDZ8-lh4oVB07bkac6LQdHpJUUySH_Er20DXx30Kyi97PciX"
    "KTS-QKXnmm8ivyRCmux22ZoPUind2BKC5OiG4MwALhaL2Z2k8CsRdfy-7dg7z41Rp6D0ZeEvtaUp4bX4aKra"
    "L4rTfw",
    "e": "AQAB",
}
HEADER_6 = "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9"
PAYLOAD_6 = (
    "eyJpc3MiOiJob2JiaXRvbi5leGFtcGxlIiwiZXhwIjoxMzAwODE5MzgwLCJodHRwOi8vZXhhbXBsZS5jb20vaXNf"
    "cm9vdCI6dHJ1ZX0"
)
SIGNATURE_6 = (
    "dPpMqwRZxFYi1UfcDAaf8M99o7kwUWtiXZ-ByvVuJih4MhJ_aZqciprz0OWaIAkIvn1qskChirjKvY9ESZNUCP4J"
    "jvfyPS-nqjJxYoA5ztWOyFk2cZNIPXjcJXSQwXPO9tEe-v4VSqgD0aKHqPxYog4N6Cz1lKph1U1sYDSI67_bLL7e"
    "lg_vkjfMp5_W5l5LuUYGMeh6hxQIaIUXf9EwV2JmvTMuZ-vBOWy0Sniy1EFo72CRTvmtrIf5AROo5MNliY3KtUxe"
    "P-SOmD-LEYwW9SlkohYzMVAZDDOrVbv7KVRHpeYNaK75KEQqdCEEkS_rskZS-Qtt_nlegTWh1mEYaA"
)
HEADER_6_ENCRYPTED = "eyJhbGciOiJSU0EtT0FFUCIsImN0eSI6IkpXVCIsImVuYyI6IkExMjhHQ00ifQ"
EXP_6 = 1_300_819_380

EXAMPLES = pytest.mark.parametrize(
    ("header", "signature", "alg", "jwk"),
    [
        (HEADER_4_1, SIGNATURE_4_1, "RS256", RSA),
        (HEADER_4_2, SIGNATURE_4_2, "PS384", RSA),
        (HEADER_4_3, SIGNATURE_4_3, "ES512", EC),
        (HEADER_4_4, SIGNATURE_4_4, "HS256", MAC),
    ],
    ids=["4_1", "4_2", "4_3", "4_4"],
)


def check(protected, signature, alg, *keys, kid=None, payload=PAYLOAD):
    """Check a signature over a protected header and a payload; the RFC's payload is no JSON."""
    unverified = _jose.Unverified(
        header={},
        claims={},
        alg=alg,
        kid=kid,
        signing_input=f"{protected}.{payload}".encode(),
        signature=_jose.decode(signature.encode()),
    )
    used = _jose.parse_key_set({"keys": list(keys)}, allow_symmetric=True)
    _jose.verify(unverified, used, algorithms=_jose.SUPPORTED)


def verifier(alg, *keys, issuer=None, now=EXP_6 - 1, **options):
    """Return a verifier with these keys, at the time of the examples."""
    return JWKSVerifier(
        issuer,
        audience=None,
        jwks={"keys": list(keys)},
        algorithms=[alg],
        clock=FakeClock(now),
        **options,
    )


def refused(token, alg, *keys, **options):
    """Return the reason for which a verifier with these keys refuses a token."""
    with pytest.raises(InvalidToken) as caught:
        verifier(alg, *keys, **options).verify(token)
    return caught.value.reason


def test_4_the_payload():
    """The sentence, with its typographic apostrophes, as section 4 spells it."""
    sentence = _jose.decode(PAYLOAD.encode()).decode()

    assert sentence.startswith("It\N{RIGHT SINGLE QUOTATION MARK}s a dangerous business, Frodo,")
    assert sentence.endswith("no knowing where you might be swept off to.")


@EXAMPLES
def test_4_1_to_4_4_the_signature(header, signature, alg, jwk):
    """Over exactly this header and payload, with the algorithm and kid that the header names."""
    named = json.loads(_jose.decode(header.encode()))

    assert {"alg": alg, "kid": jwk["kid"]} == named
    check(header, signature, alg, jwk, kid=named["kid"])
    with pytest.raises(InvalidSignature):
        check(header, signature, alg, jwk, kid=named["kid"], payload=PAYLOAD[:-1] + "0")


@EXAMPLES
def test_4_1_to_4_4_a_payload_that_is_no_json_is_no_token(header, signature, alg, jwk):
    """A good signature over a sentence: a JWS and no JWT (RFC 7519, section 7.2)."""
    assert "malformed" == refused(f"{header}.{PAYLOAD}.{signature}", alg, jwk)


def test_3_1_and_3_3_one_kid_for_two_keys():
    """The example names both keys alike: the algorithm tells which is meant (RULES 6)."""
    assert RSA["kid"] == EC["kid"]
    for header, signature, alg, other in [
        (HEADER_4_1, SIGNATURE_4_1, "RS256", EC),
        (HEADER_4_2, SIGNATURE_4_2, "PS384", EC),
        (HEADER_4_3, SIGNATURE_4_3, "ES512", RSA),
    ]:
        check(header, signature, alg, EC, RSA, kid=RSA["kid"])
        with pytest.raises(InvalidToken) as caught:
            check(header, signature, alg, other, kid=RSA["kid"])
        assert "algorithm" == caught.value.reason


def test_3_2_the_private_key_is_no_key_to_verify_with():
    """A set that holds it is refused: its owner must replace it."""
    with pytest.raises(ConfigurationError, match="private members"):
        verifier("ES512", EC | {"d": EC_PRIVATE})


def test_3_6_the_key_for_encryption_is_skipped():
    """Beside the one for integrity it is not used; alone there is nothing to verify with."""
    assert [MAC["kid"]] == [
        key.kid
        for key in _jose.parse_key_set({"keys": [MAC, ENCRYPTION]}, allow_symmetric=True).keys
    ]
    with pytest.raises(ConfigurationError, match="use is enc"):
        verifier("HS256", ENCRYPTION)


def test_3_5_a_secret_is_never_shown():
    """What a verifier shows of its keys is public: no secret is in it."""
    assert {"keys": []} == verifier("HS256", MAC).jwks()


def test_4_5_detached_content_is_refused():
    """The signature is that of 4.4 and good; without its payload it is no token."""
    assert "malformed" == refused(f"{HEADER_4_4}..{SIGNATURE_4_4}", "HS256", MAC)


# The signatures of 4.6 to 4.8 with their protected and their unprotected headers.
SIGNED_4_6 = {
    "protected": HEADER_4_6,
    "header": {"kid": MAC["kid"]},
    "signature": SIGNATURE_4_6,
}
SIGNED_4_7 = {"header": {"alg": "HS256", "kid": MAC["kid"]}, "signature": SIGNATURE_4_7}
SIGNED_4_8 = [
    {
        "protected": HEADER_4_8_2,
        "header": {"kid": RSA["kid"]},
        "signature": SIGNATURE_4_8_2,
    },
    {"header": {"alg": "ES512", "kid": EC["kid"]}, "signature": SIGNATURE_4_8_3},
    {"protected": HEADER_4_4, "signature": SIGNATURE_4_4},
]


@pytest.mark.parametrize(
    ("signed", "alg", "jwk"),
    [
        (SIGNED_4_6, "HS256", MAC),
        (SIGNED_4_7, "HS256", MAC),
        (SIGNED_4_8[0], "RS256", RSA),
        (SIGNED_4_8[1], "ES512", EC),
        (SIGNED_4_8[2], "HS256", MAC),
    ],
    ids=["4_6", "4_7", "4_8_2", "4_8_3", "4_8_4"],
)
def test_4_6_to_4_8_the_signature_is_good(signed, alg, jwk):
    """It is the form that is refused below, and nothing else."""
    check(signed.get("protected", ""), signed["signature"], alg, jwk)


@pytest.mark.parametrize(
    "document",
    [
        {"payload": PAYLOAD, "signatures": [SIGNED_4_6]},
        {"payload": PAYLOAD} | SIGNED_4_6,
        {"payload": PAYLOAD, "signatures": [SIGNED_4_7]},
        {"payload": PAYLOAD} | SIGNED_4_7,
        {"payload": PAYLOAD, "signatures": SIGNED_4_8},
    ],
    ids=["4_6 general", "4_6 flattened", "4_7 general", "4_7 flattened", "4_8 general"],
)
@pytest.mark.parametrize(("alg", "jwk"), [("HS256", MAC), ("RS256", RSA), ("ES512", EC)])
def test_4_6_to_4_8_unprotected_headers_are_refused(document, alg, jwk):
    """They come in JSON serialization only, which is no token: no ``alg`` counts unsigned."""
    assert "malformed" == refused(json.dumps(document), alg, jwk)


@pytest.mark.parametrize("signature", [SIGNATURE_4_7, SIGNATURE_4_8_3], ids=["4_7", "4_8_3"])
def test_4_7_and_4_8_a_compact_form_without_a_protected_header_is_refused(signature):
    """What such a signature is over, written as a token."""
    for alg, jwk in [("HS256", MAC), ("ES512", EC)]:
        assert "malformed" == refused(f".{PAYLOAD}.{signature}", alg, jwk)


def test_6_the_signed_token():
    """PS256 over claims, by the key and the issuer hobbiton.example; it names nobody."""
    token = f"{HEADER_6}.{PAYLOAD_6}.{SIGNATURE_6}"
    options = {"issuer": "hobbiton.example"}

    assert "no_subject" == refused(token, "PS256", KEY_6, **options)
    assert "bad_signature" == refused(token, "PS256", {**KEY_6, "n": RSA["n"]}, **options)
    assert "algorithm" == refused(token, "RS256", KEY_6, **options)
    assert "unknown_issuer" == refused(token, "PS256", KEY_6, issuer="rivendell.example")


def test_6_the_time():
    """At ``exp`` it is over, and the difference between clocks after it."""
    token = f"{HEADER_6}.{PAYLOAD_6}.{SIGNATURE_6}"
    assert "no_subject" == refused(token, "PS256", KEY_6, now=EXP_6 + 29)
    with pytest.raises(TokenExpired):
        verifier("PS256", KEY_6, now=EXP_6 + 30).verify(token)


def test_6_the_encrypted_token_is_refused():
    """The example's header before four other segments: a JWE, never looked into; a hint says so."""
    jwe = f"{HEADER_6_ENCRYPTED}.{SIGNATURE_6}.GbX1i9kXz0sxXPmA.{PAYLOAD_6}.KnIKEhN8U-3C9s4gtSpjSw"
    with pytest.raises(InvalidToken) as caught:
        verifier("PS256", KEY_6).verify(jwe)

    assert "malformed" == caught.value.reason
    assert "encrypted" in caught.value.hint
