"""What a token's claims must say, the same for every verifier.

A signature or an introspection answer says that the claims are the issuer's. The policy says
whether they are meant for us, now, and as an access token (RFC 7519, section 4.1; RFC 9068,
section 4; RFC 8725, sections 3.8 to 3.12).
"""

from tokenward.claims.kinds import refuse_other_kinds
from tokenward.claims.policy import ClaimsPolicy
from tokenward.claims.reading import CLIENT_CLAIMS, scopes_in, scopes_of

__all__ = ["CLIENT_CLAIMS", "ClaimsPolicy", "refuse_other_kinds", "scopes_in", "scopes_of"]
