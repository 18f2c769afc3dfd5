"""What a new password must be."""

from __future__ import annotations

from tokenward.errors import ConfigurationError, InvalidRequest
from tokenward.passwords import check_password, is_common
from tokenward.schemas import MIN_PASSWORD_CHARACTERS


class PasswordPolicy:
    """What a new password must be: long enough, and none that everybody tries first.

    No rules of composition: they make passwords worse (NIST SP 800-63B, section 3.1.1.2).

    Args:
        min_length: Characters, at least 6.
        common: Whether one of the most common passwords will do.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(self, *, min_length: int, common: bool) -> None:
        if type(min_length) is not int or min_length < MIN_PASSWORD_CHARACTERS:
            raise ConfigurationError(
                f"password_min_length is a number of at least {MIN_PASSWORD_CHARACTERS}."
            )
        if type(common) is not bool:
            raise ConfigurationError("common_passwords is True or False.")
        self._min_length = min_length
        self._common = common

    def check(self, password: object, *, field: str) -> None:
        """Refuse a password that may not be a new one.

        Args:
            password: What was presented.
            field: What the request calls it.

        Raises:
            InvalidRequest: It is no string of 1 to 1,024 bytes, too short, or too common.
        """
        presented(password, field=field)
        if not isinstance(password, str) or len(password) < self._min_length:
            raise InvalidRequest({field: f"must have at least {self._min_length} characters"})
        if not self._common and is_common(password):
            text = "is one of the most common passwords; choose another"
            raise InvalidRequest({field: text}, reason="common_password")


def presented(password: object, *, field: str) -> None:
    """Refuse what no password can be, before anybody is looked up.

    Raises:
        InvalidRequest: It is no string of 1 to 1,024 bytes.
    """
    try:
        check_password(password)
    except InvalidRequest as error:
        text = next(iter(error.fields.values()))
        reason = error.reason
    else:
        return
    raise InvalidRequest({field: text}, reason=reason)
