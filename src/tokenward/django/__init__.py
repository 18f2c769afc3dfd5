"""tokenward for Django: one app, one middleware, one mapping.

.. code-block:: python

    INSTALLED_APPS += ["tokenward.django"]
    MIDDLEWARE += ["tokenward.django.middleware.TokenwardMiddleware"]
    TOKENWARD = {"credentials": [...]}
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenward.django.repository import DjangoUserRepository

__all__ = ["DjangoUserRepository"]


def __getattr__(name: str) -> Any:
    # Models can be imported only once Django's apps are loaded, and this package is one of them.
    if name == "DjangoUserRepository":
        return import_module("tokenward.django.repository").DjangoUserRepository
    msg = f"module 'tokenward.django' has no attribute {name!r}"
    raise AttributeError(msg)
