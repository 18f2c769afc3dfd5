"""`Metadata`: an issuer's document, and what a client may take from it (RFC 8414, section 2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tokenward._http import check_named_url, check_url
from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.protocols import ClientAuth

TLS_METHODS: Final = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
"""The ways to authenticate by a client certificate (RFC 8705, section 2)."""

# What an endpoint takes when the document does not say (RFC 8414, section 2). Of introspection
# the RFC says that it has to be known in another way: the configuration's word stands, whatever
# the token endpoint takes.
_DEFAULT_METHODS: Final = {
    "token_endpoint": ["client_secret_basic"],
    "revocation_endpoint": ["client_secret_basic"],
}


def check_issuer(issuer: str, *, verify_tls: bool | str = True) -> str:
    """Return ``issuer`` if metadata can be asked for under it (RFC 8414, section 2).

    Raises:
        ConfigurationError: It is not https, nor http on a literal loopback address, or has a query.
    """
    check_url(issuer, what="The issuer", verify_tls=verify_tls)
    if "?" in issuer:
        raise ConfigurationError(
            "The issuer must not have a query; write the issuer identifier as the server's own"
            " metadata has it in the member issuer."
        )
    return issuer


@dataclass(frozen=True, slots=True)
class Metadata:
    """An authorization server's metadata.

    The URLs in it are checked where they are used, so that an endpoint that nobody needs cannot
    spoil the document.

    Attributes:
        issuer: The issuer identifier; the configured one exactly.
        raw: The document, read-only; without what is too much to keep.
    """

    issuer: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def jwks_uri(self) -> str:
        """Where the issuer publishes its keys.

        Raises:
            AuthServiceUnavailable: Nowhere (``endpoint_missing``), or at a URL that must not be
                called (``endpoint_refused``).
        """
        return self.url("jwks_uri")

    def url(self, name: str) -> str:
        """Return the URL that the member ``name`` holds.

        Raises:
            AuthServiceUnavailable: See `jwks_uri`.
        """
        return self._checked(name, self.raw.get(name))

    def endpoint(self, name: str, client_auth: ClientAuth) -> str:
        """Return the URL of an endpoint for a client that authenticates in this way.

        Args:
            name: ``introspection_endpoint``, ``token_endpoint`` or ``revocation_endpoint``.
            client_auth: How. With mutual TLS, the alias for it where there is one (RFC 8705,
                section 5).

        Raises:
            AuthServiceUnavailable: See `jwks_uri`; or the endpoint does not take this way to
                authenticate (``client_auth_unsupported``).
        """
        methods: Collection[str] = getattr(client_auth, "methods", ())
        self._check_methods(name, client_auth, methods)
        aliases = self.raw.get("mtls_endpoint_aliases")
        if isinstance(aliases, Mapping) and name in aliases and not TLS_METHODS.isdisjoint(methods):
            return self._checked(f"mtls_endpoint_aliases.{name}", aliases[name])
        return self.url(name)

    def check_algorithms(self, member: str, algorithms: Collection[str]) -> None:
        """Refuse algorithms none of which is among those that ``member`` lists, if it lists any.

        Raises:
            AuthServiceUnavailable: With the reason ``algorithm_unsupported``.
        """
        offered = self._listed(member)
        if offered is not None and set(offered).isdisjoint(algorithms):
            hint = (
                f"the metadata of {self.issuer} lists {_names(offered)} as {member}, and the"
                f" configuration asks for {_names(algorithms)}"
            )
            raise AuthServiceUnavailable(hint, reason="algorithm_unsupported")

    def _check_methods(self, name: str, client_auth: ClientAuth, methods: Collection[str]) -> None:
        offered = self._listed(f"{name}_auth_methods_supported")
        if offered is None:
            offered = _DEFAULT_METHODS.get(name)
        what = type(client_auth).__name__
        if methods and offered is not None and set(offered).isdisjoint(methods):
            hint = (
                f"the {name} of {self.issuer} takes {_names(offered)}, and {what} is"
                f" {_names(methods)}; authenticate the client in a way that the server takes"
            )
            raise AuthServiceUnavailable(hint, reason="client_auth_unsupported")
        algorithm = getattr(client_auth, "algorithm", None)
        if "private_key_jwt" not in methods or not isinstance(algorithm, str):
            return
        signed = self._listed(f"{name}_auth_signing_alg_values_supported")
        if signed is not None and algorithm not in signed:
            hint = (
                f"the {name} of {self.issuer} takes client assertions signed with"
                f" {_names(signed)}, and {what} signs with {shown(algorithm)}"
            )
            raise AuthServiceUnavailable(hint, reason="client_auth_unsupported")

    def _listed(self, member: str) -> list[str] | None:
        # Read to warn early; whatever is no list says nothing, and the server has the last word.
        value = self.raw.get(member)
        if not isinstance(value, list | tuple):
            return None
        return [name for name in value if isinstance(name, str)]

    def _checked(self, name: str, url: object) -> str:
        if not isinstance(url, str):
            found = "no" if url is None else "a malformed"
            hint = f"the metadata of {self.issuer} has {found} {name}; configure it by hand"
            raise AuthServiceUnavailable(hint, reason="endpoint_missing")
        try:
            return check_named_url(url, what=f"{name} in its metadata", issuer=self.issuer)
        except ConfigurationError as error:
            hint = f"{self.issuer}: {error}"
        raise AuthServiceUnavailable(hint, reason="endpoint_refused")


def _names(names: Collection[str]) -> str:
    return ", ".join(shown(name) for name in list(names)[:20]) or "nothing"
