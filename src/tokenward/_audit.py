"""The audit trail: one JSON line for each event, on the logger ``tokenward.audit`` at INFO.

A line names who, what, when and from where. What came from outside is escaped and cut; a password,
token, hash or secret has no business here, so callers never hand one in.
"""

from __future__ import annotations

import contextlib
import json
import logging

from tokenward._log import shown

_logger = logging.getLogger("tokenward.audit")


def audit(event: str, now: float, /, **values: str | None) -> None:
    """Write one line.

    Args:
        event: ``login_ok``, ``login_failed``, ``throttled``, ``refresh_reuse``, ``logout``,
            ``session_ended``, ``revoked``, ``user_registered``, ``password_changed``,
            ``password_reset_asked``, ``email_verified``, ``user_disabled``, ``user_enabled``,
            ``role_changed``, ``key_rotated``, ``client_auth_failed``; the names are contract.
        now: Seconds since the epoch.
        values: What else is known of the event; ``None`` is left out.
    """
    known = {name: shown(value) for name, value in values.items() if value is not None}
    # A handler that fails must not turn a login into a refusal.
    with contextlib.suppress(Exception):
        _logger.info("%s", json.dumps({"event": event, "time": int(now)} | known))
