"""The section `django` of the settings: who may become what, and whose word counts."""

import pytest

from tokenward.config import Settings
from tokenward.errors import ConfigurationError

SECRET = "9f8a-77e1-quartz-lantern"
OURS = "https://auth.example"
THEIRS = "https://login.example"
LOGIN = {"issuer": OURS, "client_id": "shop", "client_secret": SECRET}
SERVICE = {"issuer": OURS, "audience": "shop", "store": "memory://"}


def introspection(issuer=None, source="authorization"):
    entry = {
        "type": "introspection",
        "introspection_endpoint": "https://as.example/introspect",
        "client_auth": {"method": "bearer", "token": SECRET},
        "audience": "shop",
        "source": source,
    }
    return entry if issuer is None else entry | {"issuer": issuer}


def parsed(*credentials, service=None, **section):
    mapping = {"credentials": credentials, "django": section}
    return Settings.model_validate(mapping if service is None else mapping | {"service": service})


def refused(*credentials, **section):
    with pytest.raises(ConfigurationError) as caught:
        parsed(*credentials, **section)
    return str(caught.value)


def test_nothing_maps_by_default():
    """Without a word about roles, no role becomes anything, whoever asserts it."""
    section = parsed(introspection(THEIRS)).django
    assert section.maps_nothing
    assert ("model", True, False) == (section.user, section.create, section.link_verified_email)
    assert (300, "username", {}) == (
        section.session_recheck,
        section.username_from,
        section.permissions,
    )


def test_the_whole_section_is_read():
    """Every setting of the section has its place, and a string stands for a list of one."""
    section = parsed(
        introspection(OURS),
        user="model",
        create=False,
        link_verified_email=True,
        username_from="email",
        staff_roles="admin",
        superuser_roles=["root"],
        groups={"editor": "Editors", "lead": ["Editors", "Leads"]},
        permissions={"orders:write": ["shop.change_order"]},
        on_user="shop.on_user",
        login=LOGIN,
        session_recheck=60,
    ).django
    assert (("admin",), ("root",)) == (section.staff_roles, section.superuser_roles)
    assert {"editor": ("Editors",), "lead": ("Editors", "Leads")} == section.groups
    assert {"orders:write": ("shop.change_order",)} == section.permissions
    assert SECRET not in repr(section)


@pytest.mark.parametrize("roles", [{"staff_roles": ["admin"]}, {"issuers": {THEIRS: {}}}])
def test_roles_need_a_named_issuer(roles):
    """A role of somebody who is not named is nobody's word."""
    assert "write the 'issuer' of each" in refused(introspection(), **roles)


def test_roles_of_one_issuer_stand_alone():
    """Where one issuer is trusted, the lists are theirs."""
    assert (THEIRS,) == parsed(introspection(THEIRS), staff_roles=["admin"]).issuers
    with_login = parsed(introspection(OURS), staff_roles=["admin"], login=LOGIN)
    assert (OURS,) == with_login.issuers


@pytest.mark.parametrize(
    ("credentials", "more"),
    [
        ([introspection(OURS), introspection(THEIRS, "header:X-Token")], {}),
        ([introspection(THEIRS)], {"login": LOGIN}),
        ([introspection(THEIRS)], {"service": SERVICE}),
    ],
    ids=["two credentials", "a login elsewhere", "a service here"],
)
def test_roles_of_several_issuers_are_written_by_issuer(credentials, more):
    """Two who may assert the same role are told apart, whether by tokens or by passwords."""
    message = refused(*credentials, staff_roles=["admin"], **more)
    assert "django.issuers" in message
    assert THEIRS in message
    assert OURS in message
    settings = parsed(*credentials, issuers={OURS: {"staff_roles": ["admin"]}}, **more)
    assert ("admin",) == settings.django.issuers[OURS].staff_roles


def test_an_issuer_that_nothing_verifies_is_refused():
    """A list under a misspelt issuer would map nothing, and nobody would know."""
    message = refused(introspection(THEIRS), issuers={f"{THEIRS}/": {"staff_roles": ["admin"]}})
    assert f"nothing here verifies tokens of {THEIRS}/" in message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"user": "row"}, "django.user"),
        ({"create": "yes"}, "django.create"),
        ({"session_recheck": 0}, "django.session_recheck"),
        ({"session_recheck": "300"}, "django.session_recheck"),
        ({"username_from": ""}, "django.username_from"),
        ({"staff_role": ["admin"]}, "did you mean 'staff_roles'?"),
        ({"groups": {"editor": ""}}, "a group's name has 1 to 150 characters, not 0"),
        ({"groups": {"editor": "x" * 151}}, "a group's name has 1 to 150 characters, not 151"),
        ({"permissions": {"write": "change_order"}}, "'change_order' is no permission"),
        ({"permissions": {"wri te": "shop.change_order"}}, "scope"),
        ({"issuers": {THEIRS: {"user": "model"}}}, "'user' is not a setting"),
        ({"login": LOGIN | {"issuer": "http://auth.example"}}, "django.login.issuer"),
        ({"login": LOGIN | {"client_secret": ""}}, "django.login.client_secret"),
        ({"login": LOGIN | {"verify_tls": 0}}, "django.login.verify_tls"),
        ({"user": "stateless", "login": LOGIN}, "'user': 'model'"),
    ],
)
def test_what_cannot_be_meant_is_refused(section, message):
    """Each mistake is one sentence that says where, and holds no secret."""
    said = refused(introspection(THEIRS), **section)
    assert message in said
    assert SECRET not in said


def test_the_secret_of_a_login_comes_from_where_secrets_are(monkeypatch):
    """The client secret may be in the environment, as every other."""
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    section = parsed(login=LOGIN | {"client_secret": {"env": "SHOP_SECRET"}}).django
    assert SECRET == section.login.client_secret.get_secret_value()
