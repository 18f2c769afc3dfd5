"""`JWKSVerifier`: signed tokens of an issuer, checked here with the keys that it publishes.

=============  ===============================================================================
`verifier`     `JWKSVerifier`: the order of the checks, and the path of a token seen before
`sources`      where the keys come from: discovery, a URL, or the configuration
`pinned`       keys that are configured, behind the same face as those that are fetched
`memory`       what is remembered of tokens: verified ones, and revoked ones
=============  ===============================================================================
"""

from tokenward.jwks.verifier import JWKSVerifier

__all__ = ["JWKSVerifier"]
