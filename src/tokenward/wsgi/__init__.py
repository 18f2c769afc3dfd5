"""tokenward for any WSGI application (PEP 3333): protect one, or run the auth service as one.

Frameworks catch what their views raise. What has Falcon, Bottle and Pyramid answer an `AuthError`
as everything else here does is `falcon_error_handler`, `BottlePlugin` and `pyramid_error_view`;
none of the three is imported.
"""

from tokenward.wsgi.frameworks import BottlePlugin, falcon_error_handler, pyramid_error_view
from tokenward.wsgi.middleware import AUTHENTICATOR, PRINCIPAL, AuthMiddleware, require
from tokenward.wsgi.service import auth_service_app, service_app

__all__ = [
    "AUTHENTICATOR",
    "PRINCIPAL",
    "AuthMiddleware",
    "BottlePlugin",
    "auth_service_app",
    "falcon_error_handler",
    "pyramid_error_view",
    "require",
    "service_app",
]
