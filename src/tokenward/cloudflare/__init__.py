"""Cloudflare Access: whom it lets through, in the assertion that it adds to a request.

=============  ===============================================================================
`access`       `CloudflareAccess`: verifies assertions, and knows where requests carry them
`team`         whose assertions: the issuer of a team
`assertion`    what is an application's assertion, and whom it speaks for
`people`       `CloudflareUser` and `Identity`: what is known of a person
`identity`     asking the team's domain for an `Identity`, and remembering it
`dev`          who asks on a developer's machine, where no Cloudflare stands before
=============  ===============================================================================
"""

from tokenward.cloudflare.access import CloudflareAccess
from tokenward.cloudflare.assertion import check_assertion
from tokenward.cloudflare.people import CloudflareUser, Identity
from tokenward.cloudflare.team import issuer_of

__all__ = ["CloudflareAccess", "CloudflareUser", "Identity", "check_assertion", "issuer_of"]
