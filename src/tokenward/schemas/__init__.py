"""The models that cross a wire or a store.

What is sent to us is read strictly and unknown members are refused; what we read back from an
issuer or a store may grow members that this version does not know. A password or a hash is in
no ``repr``, dump or validation error.

==========  ====================================================================
`reading`   how strictly a model reads, and how what is wrong is said
`names`     the canonical keys of names, and passwords as they are typed
`people`    users: as others may see them, and as a store keeps them
`requests`  what is sent to our endpoints
`answers`   what they answer
==========  ====================================================================
"""

from tokenward.schemas.answers import (
    IntrospectResponse,
    LoginResponse,
    LogoutResponse,
    Session,
    SessionsResponse,
    TokenPayload,
    TokenResponse,
)
from tokenward.schemas.names import (
    MAX_PASSWORD_BYTES,
    MAX_USERNAME_CHARACTERS,
    MIN_PASSWORD_CHARACTERS,
    canonical_key,
)
from tokenward.schemas.people import (
    ActiveStateMixin,
    IdentityMixin,
    PasswordMixin,
    PublicUser,
    User,
)
from tokenward.schemas.reading import Model, read_members
from tokenward.schemas.requests import (
    ChangePasswordRequest,
    EndSessionRequest,
    ForgotPasswordRequest,
    IntrospectRequest,
    LoginRequest,
    LogoutRequest,
    RefreshRequest,
    RegisterRequest,
    ResetPasswordRequest,
    VerifyEmailRequest,
)

__all__ = [
    "MAX_PASSWORD_BYTES",
    "MAX_USERNAME_CHARACTERS",
    "MIN_PASSWORD_CHARACTERS",
    "ActiveStateMixin",
    "ChangePasswordRequest",
    "EndSessionRequest",
    "ForgotPasswordRequest",
    "IdentityMixin",
    "IntrospectRequest",
    "IntrospectResponse",
    "LoginRequest",
    "LoginResponse",
    "LogoutRequest",
    "LogoutResponse",
    "Model",
    "PasswordMixin",
    "PublicUser",
    "RefreshRequest",
    "RegisterRequest",
    "ResetPasswordRequest",
    "Session",
    "SessionsResponse",
    "TokenPayload",
    "TokenResponse",
    "User",
    "VerifyEmailRequest",
    "canonical_key",
    "read_members",
]
