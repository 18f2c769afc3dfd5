"""``{% load tokenward %}``: what the sender of the request may do.

.. code-block:: html+django

    {% if principal|has_scope:"orders:write" %}<a href="…">New order</a>{% endif %}

A refusal is answered as everywhere when a template is the first to look. Not so beside ``and``,
``or`` and ``not``: what fails there is false to Django. Guard the view with ``@login_required``
where that matters.
"""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def has_scope(principal: Any, names: str) -> bool:
    """Tell whether every one of the scopes, separated by spaces, is granted."""
    return _has(principal, "has_scopes", names)


@register.filter
def has_role(principal: Any, names: str) -> bool:
    """Tell whether every one of the roles, separated by spaces, is held."""
    return _has(principal, "has_roles", names)


def _has(principal: Any, question: str, names: str) -> bool:
    wanted = str(names).split()
    # A variable that the template does not know is an empty string or None: nobody.
    ask = getattr(principal, question, None)
    return bool(wanted) and ask is not None and bool(ask(*wanted))
