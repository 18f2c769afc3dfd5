"""Users and families as MongoDB's documents: named fields, each written and read here alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.repositories._portable import KeptFamily
from tokenward.repositories._records import KeptUser, moment
from tokenward.repositories.base import Family
from tokenward.repositories.mongo._values import date, whole_seconds_of
from tokenward.schemas import User

if TYPE_CHECKING:
    from tokenward.repositories.mongo._values import Document


def user_document(new: KeptUser, position: int) -> Document:
    """Return a user as a document, with its place in the order of registration."""
    user = new.user
    document = {
        "_id": user.id,
        "position": position,
        "username": user.username,
        "username_key": new.username_key,
        "email": user.email,
        "hashed_password": user.hashed_password,
        "is_active": user.is_active,
        "email_verified": user.email_verified,
        "roles": list(user.roles),
        "token_version": user.token_version,
        "created_at": int(user.created_at.timestamp()),
        "updated_at": int(user.updated_at.timestamp()),
    }
    # The index leaves out who has none; a null would be there once.
    return document if new.email_key is None else {**document, "email_key": new.email_key}


def kept_user_of(document: Document) -> KeptUser:
    """Return the user of a document."""
    return KeptUser(user_of(document), document["username_key"], document.get("email_key"))


def user_of(document: Document) -> User:
    """Return the user of a document."""
    return User(
        id=document["_id"],
        username=document["username"],
        email=document["email"],
        is_active=document["is_active"],
        email_verified=document["email_verified"],
        roles=tuple(document["roles"]),
        hashed_password=document["hashed_password"],
        token_version=document["token_version"],
        created_at=moment(document["created_at"]),
        updated_at=moment(document["updated_at"]),
    )


def family_document(kept: KeptFamily, position: int) -> Document:
    """Return a family as a document, with its place in the order of logins."""
    family = kept.family
    return {
        "_id": family.id,
        "position": position,
        "subject": family.subject,
        "client_id": family.client_id,
        "scopes": list(family.scopes),
        "version": family.version,
        "created_at": family.created_at,
        "used_at": family.used_at,
        "expires_at": date(family.expires_at),
        "ended": family.ended,
        "current": kept.current,
        "digests": [*kept.used, kept.current],
        "rotations": len(kept.used),
    }


def kept_family_of(document: Document) -> KeptFamily:
    """Return the family of a document, and its digests."""
    *used, current = document["digests"]
    return KeptFamily(family_of(document), current, tuple(used))


def family_of(document: Document) -> Family:
    """Return the family of a document."""
    return Family(
        id=document["_id"],
        subject=document["subject"],
        client_id=document["client_id"],
        scopes=tuple(document["scopes"]),
        version=document["version"],
        created_at=document["created_at"],
        used_at=document["used_at"],
        expires_at=whole_seconds_of(document["expires_at"]),
        ended=document["ended"],
    )
