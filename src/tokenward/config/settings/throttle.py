"""The section ``service.throttle``: how many login attempts are looked at."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator

from tokenward.config.settings.fields import Names, SecretURL, SecretURLStr, Section

_KINDS = ("redis://", "rediss://", "mongodb://", "mongodb+srv://")


def _is_a_rate(text: str) -> str:
    # Only who bounds attempts loads what counts them.
    from tokenward.throttle.rates import Rate  # noqa: PLC0415

    Rate.parse(text)
    return text


RateText = Annotated[str, AfterValidator(_is_a_rate)]
"""``COUNT/PERIOD``, such as ``10/5minutes``; see `Rate`."""


def _are_networks(proxies: tuple[str, ...]) -> tuple[str, ...]:
    from tokenward.throttle.networks import read_trusted  # noqa: PLC0415 - as above

    read_trusted(proxies)
    return proxies


Proxies = Annotated[Names, AfterValidator(_are_networks)]
"""Addresses, networks such as ``10.0.0.0/8``, or ``unix``."""


class ThrottleSection(Section):
    """How many login attempts are looked at; see `LoginThrottle`.

    ``storage``: ``"store"`` counts in the service's own store, ``"memory"`` in each process; or
    the URL of a Redis or a MongoDB.
    """

    storage: SecretURL = Field(default=SecretURLStr("store"))
    per_name_and_address: RateText = "10/5minutes"
    per_address: RateText = "100/5minutes"
    per_name: RateText = "50/5minutes"

    @field_validator("storage")
    @classmethod
    def _is_a_storage(cls, storage: SecretStr) -> SecretStr:
        given = storage.get_secret_value()
        if given not in ("store", "memory") and not given.startswith(_KINDS):
            # Without what is written: it may hold a password.
            msg = 'write "store", "memory", redis://HOST:PORT/0 or mongodb://HOST/DATABASE'
            raise ValueError(msg)
        return storage
