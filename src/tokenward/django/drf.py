"""Django REST framework: who asks, and what a view demands of them.

.. code-block:: python

    class Orders(APIView):
        authentication_classes = [TokenwardAuthentication]
        permission_classes = [HasScopes.of("orders:read")]

        def get(self, request):
            return Response({"for": request.auth.subject})

The refusals are those of the decorators, and `TokenwardMiddleware` answers them, unless the
project's ``EXCEPTION_HANDLER`` makes a response of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import (
    AND,
    NOT,
    OR,
    BasePermission,
    BasePermissionMetaclass,
    OperandHolder,
    OperationHolderMixin,
    SingleOperandHolder,
)

from tokenward.authenticator import Requirement
from tokenward.bearer import error_response
from tokenward.django._guard import authenticate, authenticator_in_force, note_shortfall, seen_in
from tokenward.django._guard.decision import is_bare_preflight
from tokenward.django._guard.user import user_found
from tokenward.errors import AuthError, ConfigurationError, InsufficientScope, NotAuthenticated
from tokenward.principal import ANONYMOUS, Principal

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.views import APIView

__all__ = ["HasRoles", "HasScopes", "TokenwardAuthentication"]

# Whom another authentication class knows: there is no token, so nothing is granted.
_KNOWN_OTHERWISE = Principal("")


class TokenwardAuthentication(BaseAuthentication):
    """Authenticates as the middleware does; ``request.auth`` is then the `Principal`.

    Where nothing is presented, the next authentication class is asked: a session is the business
    of ``SessionAuthentication``. List this class before it, because it takes ``request.user`` for
    the session's, and behind the middleware that is the token's where one came.

    Attributes:
        live: Take no cached decision; ask the issuer. For a subclass to set.
    """

    live: ClassVar[bool] = False

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        """Return the user and the principal, or ``None`` when nothing is presented.

        Raises:
            AuthError: What is presented is refused, or cannot be checked.
        """
        inner = _inner(request)
        try:
            found = authenticate(inner, live=self.live)
            if found is None:
                return None
            return user_found(inner, found.principal), found.principal
        except AuthError:
            # As the framework does for its own refusals: what renders an answer asks who it is for.
            cast("Any", request)._not_authenticated()  # noqa: SLF001 - nothing public does it
            raise

    def authenticate_header(self, request: Request) -> str:
        """Return the bare challenge (RFC 6750, section 3)."""
        nobody = NotAuthenticated()
        if len(request.authenticators or ()) == 1:
            # Nothing but a token would have done, so that the whole answer is ours.
            note_shortfall(_inner(request), nobody)
        made = error_response(nobody, realm=authenticator_in_force().realm)
        return dict(made.headers)["WWW-Authenticate"]


class _Forgetting:
    """An operator that lets a request in although a permission inside has said no."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        seen = seen_in(_inner(request))
        before = seen.shortfall
        granted: bool = super().has_permission(request, view)  # type: ignore[misc] # the operator's
        if granted:
            seen.shortfall = before
        return granted

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        seen = seen_in(_inner(request))
        before = seen.shortfall
        granted: bool = super().has_object_permission(request, view, obj)  # type: ignore[misc]
        if granted:
            seen.shortfall = before
        return granted


class _Or(_Forgetting, OR):
    pass


class _Not(_Forgetting, NOT):
    pass


# Where the framework takes an operator's class, its stubs want an instance.
_and: Any = AND
_or: Any = _Or
_not: Any = _Not


class _Composing(OperationHolderMixin):
    """``&``, ``|`` and ``~`` by the operators above.

    Not those of Django REST framework, because what has said no inside them would then be taken
    for the reason of a refusal that comes later and has another.
    """

    def __and__(self: Any, other: Any) -> OperandHolder:
        return _Pair(_and, self, other)

    def __or__(self: Any, other: Any) -> OperandHolder:
        return _Pair(_or, self, other)

    def __rand__(self: Any, other: Any) -> OperandHolder:
        return _Pair(_and, other, self)

    def __ror__(self: Any, other: Any) -> OperandHolder:
        return _Pair(_or, other, self)

    def __invert__(self: Any) -> SingleOperandHolder:
        return _Single(_not, self)


class _Pair(_Composing, OperandHolder):
    def __hash__(self) -> int:
        # The oldest releases define what is equal, and no hash beside it.
        return hash((self.operator_class, self.op1_class, self.op2_class))


class _Single(_Composing, SingleOperandHolder):
    pass


class _PermissionClass(_Composing, BasePermissionMetaclass):  # type: ignore[misc] # as `type` has |
    pass


class _Holds(BasePermission, metaclass=_PermissionClass):
    """Says no to whoever does not hold what is named, and leaves word of why."""

    message = InsufficientScope.description
    code = InsufficientScope.error

    _all: ClassVar[str]
    _any: ClassVar[str]
    _requirement: ClassVar[Requirement | None] = None

    @classmethod
    def of(cls, *names: str) -> type[Self]:
        """Return a permission class that wants every one of ``names``.

        Raises:
            ConfigurationError: There are none, or one is not such a name.
        """
        return cls._named("of", cls._all, names)

    @classmethod
    def any_of(cls, *names: str) -> type[Self]:
        """Return a permission class that wants at least one of ``names``.

        Raises:
            ConfigurationError: There are none, or one is not such a name.
        """
        return cls._named("any_of", cls._any, names)

    @classmethod
    def required_by(cls, view: object) -> Requirement:
        """Return what is demanded: what the class names, else what the view does.

        Raises:
            ConfigurationError: Neither names anything.
        """
        if cls._requirement is not None:
            return cls._requirement
        attribute = f"required_{cls._all}"
        names = getattr(view, attribute, None)
        if not names:
            raise ConfigurationError(
                f"{type(view).__name__} demands {cls.__name__} and does not say which: write "
                f"{cls.__name__}.of('a', 'b'), or {attribute} = ['a', 'b'] in the view."
            )
        return _requirement(cls._all, names)

    @classmethod
    def _named(cls, how: str, field: str, names: tuple[str, ...]) -> type[Self]:
        given: tuple[object, ...] = names
        if not given or not all(isinstance(name, str) and name for name in given):
            raise ConfigurationError(
                f"{cls.__name__}.{how} takes names, each a string of its own: "
                f"{cls.__name__}.{how}('a', 'b')."
            )
        if cls._requirement is not None:
            raise ConfigurationError(f"{cls.__name__} names what it wants; join the two with &.")
        shown = f"{cls.__name__}.{how}({', '.join(map(repr, names))})"
        made: type[Self] = type(shown, (cls,), {"_requirement": _requirement(field, names)})
        return made

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether everything is held; a CORS preflight, which nobody sends, may pass."""
        requirement = self.required_by(view)
        try:
            requirement.check(_sender(request))
        except (InsufficientScope, NotAuthenticated) as error:
            # For one, this framework may ask about another method; the answer to that is no.
            if is_bare_preflight(request):
                return True
            # A page of the browsable API asks, after the answer, what else it could offer.
            if getattr(view, "response", None) is None:
                inner = _inner(request)
                note_shortfall(inner, _joined(seen_in(inner).shortfall, error))
            return False
        return True

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        """Tell the same, so that ``~`` means the same for an object."""
        del obj
        return self.has_permission(request, view)


class HasScopes(_Holds):
    """Wants scopes: ``HasScopes.of("a", "b")`` all, ``HasScopes.any_of("a", "b")`` one of them.

    Bare, it wants every one of the view's ``required_scopes``, which may be a property. A
    permission class like any other, to be joined by ``&``, ``|`` and ``~``. Who comes without a
    token, by a session say, holds no scopes.
    """

    _all = "scopes"
    _any = "any_scope"


class HasRoles(_Holds):
    """Wants roles, as `HasScopes` wants scopes; bare, those of the view's ``required_roles``."""

    _all = "roles"
    _any = "any_role"


def _inner(request: Request) -> HttpRequest:
    return request._request  # noqa: SLF001 - Django's request has no other name there


def _requirement(field: str, names: Any) -> Requirement:
    given: dict[str, Any] = {field: names}
    return Requirement(**given)


def _sender(request: Request) -> Principal:
    if isinstance(request.auth, Principal):
        return request.auth
    return ANONYMOUS if request.successful_authenticator is None else _KNOWN_OTHERWISE


def _joined(before: AuthError | None, error: AuthError) -> AuthError:
    """Return what an ``|`` answers whose sides have both said no: either would have done."""
    if not isinstance(before, InsufficientScope) or not isinstance(error, InsufficientScope):
        return error
    required = dict.fromkeys(before.required + error.required)
    return InsufficientScope(required, error.hint, reason=error.reason)
