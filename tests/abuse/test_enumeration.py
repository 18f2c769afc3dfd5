"""Who has an account here? Nothing that is answered, and no work that is done, tells."""

from service_callers import OTHER_SECRET, PASSWORD, SECRET, basic


def same(answers):
    """Hold that answers are equal to the byte, and return one of them."""
    told = {(a.status, a.body, tuple(sorted(a.headers.items()))) for a in answers}
    assert len(told) == 1
    return answers[0]


def test_login_answers_everybody_alike_after_one_hash(attacker, hashes):
    """Unknown, inactive, without a password, or wrong: one hash at the same cost each."""
    known, idle = attacker.newcomer(), attacker.newcomer()
    attacker.service.deactivate_user(idle)
    attempts = [
        (known, "wrong"),
        ("nobody", PASSWORD),
        (idle, PASSWORD),
        (idle, "wrong"),
        ("not\0a name", PASSWORD),
        ("\u202enobody", PASSWORD),
        ("", PASSWORD),
        ("n" * 300, PASSWORD),
    ]
    answers, work = [], []
    for name, password in attempts:
        hashes.clear()
        answers.append(attacker.post("/login", {"username": name, "password": password}))
        work.append(list(hashes))
    assert same(answers).error == (401, "invalid_credentials")
    assert work == [[b"04"]] * len(attempts)


def test_register_does_not_say_what_is_taken(attacker, hashes):
    """The name or the address: one answer after the same work."""
    name = attacker.newcomer()
    answers, work = [], []
    for username, email in [
        (name, "unheard@example.com"),
        ("unheard", f"{name}@example.com"),
        (name, f"{name}@example.com"),
    ]:
        hashes.clear()
        members = {"username": username, "email": email, "password": PASSWORD}
        answers.append(attacker.post("/register", members))
        work.append(len(hashes))
    assert same(answers).error == (409, "user_already_exists")
    assert len(set(work)) == 1


def test_forgotten_password_answers_everybody_alike(attacker, hashes):
    """Known, unknown and inactive: nothing is hashed, nothing is said, one letter is sent."""
    known, idle = attacker.newcomer(), attacker.newcomer()
    attacker.service.deactivate_user(idle)
    hashes.clear()
    answers = [
        attacker.post("/password/forgot", {"email": f"{name}@example.com"})
        for name in ("nobody", idle, known)
    ]
    assert (same(answers).status, answers[0].body, hashes) == (204, b"", [])
    assert attacker.letter(known, "reset_password")


def test_password_change_says_no_more_than_a_login(attacker, hashes):
    """A wrong current password costs what it costs at the login, and is the same answer."""
    name = attacker.newcomer()
    token = attacker.login(name)["access_token"]
    hashes.clear()
    members = {"current_password": "wrong", "new_password": "violet staple lantern"}
    answer = attacker.post("/password", members, token=token)
    login = attacker.post("/login", {"username": name, "password": "wrong"})
    assert (answer.status, answer.body) == (login.status, login.body)
    assert hashes == [b"04", b"04"]


def test_one_time_tokens_are_refused_alike(attacker):
    """Never made, used, or for another purpose."""
    name = attacker.newcomer()
    attacker.service.forgot_password(f"{name}@example.com")
    used = attacker.letter(name, "reset_password")
    members = {"token": used, "new_password": "violet staple lantern"}
    assert attacker.post("/password/reset", members).status == 204
    unverified = attacker.newcomer()
    attacker.service.send_email_verification(unverified)
    other = attacker.letter(unverified, "verify_email")
    answers = [
        attacker.post("/password/reset", members | {"token": token})
        for token in (used, other, "never-made", "x" * 16_384)
    ]
    assert same(answers).error == (400, "invalid_request")


def test_clients_are_refused_alike(attacker):
    """Unknown, wrong secret, another's secret; at each of their endpoints."""
    for path in ("/token", "/introspect", "/revoke"):
        answers = [
            attacker.form(path, {"token": "x"}, authorization=authorization)
            for authorization in (
                basic("shop", "wrong"),
                basic("nobody", SECRET),
                basic("shop", OTHER_SECRET),
                "Basic !",
            )
        ]
        assert same(answers).error == (401, "invalid_client")


def test_tokens_that_exist_are_not_told_from_others(attacker):
    """To a client that they are not meant for."""
    granted = attacker.login(attacker.newcomer())
    # Not the last character, which says less than the others.
    head, at, tail = (granted["access_token"][part] for part in (slice(-20), -20, slice(-19, None)))
    forged = head + ("A" if at != "A" else "B") + tail
    tokens = (granted["refresh_token"], "nonsense", forged)
    answers = [
        attacker.form(path, {"token": token}, authorization=basic())
        for path in ("/introspect", "/revoke")
        for token in tokens
    ]
    assert same(answers[:3]).json == {"active": False}
    assert same(answers[3:]).body == b""
    assert attacker.refresh(granted["refresh_token"]).status == 200
