"""The keys that an issuer publishes, as somebody sees them who has to make tokens verify.

===========  ==================================================================================
`places`     what a URL is of: a JWK Set, an issuer, its metadata
`sets`       a JWK Set, fetched; for how long it may be kept
`entries`    each entry of one: used, skipped and why, or exposed
===========  ==================================================================================
"""

from __future__ import annotations

from tokenward.commands.published.entries import PublishedKey
from tokenward.commands.published.places import Place, look_at
from tokenward.commands.published.sets import PublishedSet, fetch, read

__all__ = ["Place", "PublishedKey", "PublishedSet", "fetch", "look_at", "read"]
