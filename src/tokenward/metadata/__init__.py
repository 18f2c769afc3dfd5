"""What an authorization server publishes about itself: found, checked, kept fresh.

RFC 8414, OpenID Connect Discovery 1.0. `IssuerMetadata` finds an issuer's document and keeps it;
`Metadata` is the document, and picks the endpoint that suits a way to authenticate.
"""

from tokenward.metadata.document import Metadata, check_issuer
from tokenward.metadata.issuer import IssuerMetadata
from tokenward.metadata.places import MAX_DOCUMENT_BYTES, fetch_json

__all__ = ["MAX_DOCUMENT_BYTES", "IssuerMetadata", "Metadata", "check_issuer", "fetch_json"]
