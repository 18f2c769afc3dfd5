"""`JWKSVerifier`: signed tokens of an issuer, checked here with the keys that it publishes.

=============  ===============================================================================
`verifier`     `JWKSVerifier`: its arguments, and the path of a token seen before
`checks`       the order of the checks on the way of every other token
`live`         two verdicts about one token, and whether they agree
`sources`      where the keys come from: discovery, a URL, or the configuration
`pinned`       keys that are configured, behind the same face as those that are fetched
`memory`       what is remembered of tokens: verified ones, and revoked ones
=============  ===============================================================================
"""

from tokenward.jwks.verifier import JWKSVerifier

__all__ = ["JWKSVerifier"]
