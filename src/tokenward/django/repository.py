"""`DjangoUserRepository`: the auth service's users in the project's own user model."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, models, router, transaction

from tokenward.django._database import REASON, savepoint, translated_errors
from tokenward.django._user_model import (
    Kind,
    all_rows,
    columns,
    from_column,
    key_of,
    left_empty,
    to_column,
    validate,
    visible_rows,
)
from tokenward.django.accounts import find_by_hand, holds, settle
from tokenward.django.accounts.saved import NEW
from tokenward.django.hashers import ColumnPasswordHasher, column_of, hash_in
from tokenward.django.models import Account, digest_of
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidRequest,
    UserAlreadyExists,
)
from tokenward.passwords import DEFAULT_COST, check_password
from tokenward.repositories._checks import is_text, lookup_key
from tokenward.repositories._records import RecordUserRepository
from tokenward.schemas import PublicUser, User

if TYPE_CHECKING:
    from tokenward.protocols import Clock
    from tokenward.repositories._records import Change, NewUser, UniqueColumn, Value
    from tokenward.schemas import RegisterRequest

_DIGESTS: dict[UniqueColumn, str] = {
    "id": "id",
    "username_key": "username_digest",
    "email_key": "email_digest",
}


class DjangoUserRepository(RecordUserRepository):
    """Users as rows of the project's user model, each with an `Account` beside it.

    ``User.id``, the ``sub`` of our tokens, is the account's random id and never the row's primary
    key. Rows that the project has already are adopted when somebody first asks for them by name or
    address, or all at once by `tokenward.django.accounts.adopt_existing`. Rows that the default
    manager of the user model hides are nobody here, as they are to Django's `ModelBackend`.

    Args:
        bcrypt_cost: See `tokenward.passwords.PasswordHasher`; for hashes of ours, which are made
            when `tokenward.django.hashers.TokenwardPasswordHasher` is the first of
            ``settings.PASSWORD_HASHERS``.
        clock: Returns epoch seconds.
        using: The database; ``None``: where the project writes users. Reading goes there, too: a
            replica would not know yet that an account was closed.

    Raises:
        ConfigurationError: The settings or the user model do not allow it.
    """

    # Read on another thread, the database would not show what a test has written.
    thread_sensitive = True

    def __init__(
        self,
        *,
        bcrypt_cost: int = DEFAULT_COST,
        clock: Clock = time.time,
        using: str | None = None,
    ) -> None:
        super().__init__(bcrypt_cost=bcrypt_cost, clock=clock)
        self.hasher = ColumnPasswordHasher(cost=bcrypt_cost)
        self._model: Any = get_user_model()
        self._columns = columns()
        self._using = using
        if self._alias not in connections or connections[self._alias].vendor == "unknown":
            raise ConfigurationError(
                f"settings.DATABASES has no database {self._alias!r}; users are kept in one."
            )

    def create(
        self,
        request: RegisterRequest,
        *,
        roles: Iterable[str] = (),
        is_active: bool = True,
        email_verified: bool = False,
    ) -> PublicUser:
        """See `UserRepository.create`; the project's validators for names and passwords hold."""
        own = self._columns
        username = self._model.normalize_username(request.username)
        if own.email == own.username:
            if key_of(username) != key_of(request.email):
                raise InvalidRequest({"username": "must be the e-mail address"})
            username = request.email
        self._check_value("username", own.username, username)
        if own.email is not None:
            self._check_value("email", own.email, request.email)
        self._check_password(request.password, self._row(username, request.email))
        created = super().create(
            request.model_copy(update={"username": username}),
            roles=roles,
            is_active=is_active,
            email_verified=email_verified,
        )
        return created if own.email is not None else created.model_copy(update={"email": None})

    def get_by_username(self, username: str) -> User | None:
        """See `UserRepository.get_by_username`."""
        return super().get_by_username(username) or self._by_hand("username", username)

    def get_by_email(self, email: str) -> User | None:
        """See `UserRepository.get_by_email`."""
        return super().get_by_email(email) or self._by_hand("email", email)

    def count(self) -> int:
        """See `UserRepository.count`."""
        with translated_errors():
            known: int = self._rows().filter(tokenward_account__isnull=False).count()
        return known

    def set_password(
        self, username: str, password: str | None, *, version: int | None = None
    ) -> None:
        """See `UserRepository.set_password`; the project's validators for passwords hold."""
        if password is not None:
            self._check_password(password, None)
        super().set_password(username, password, version=version)

    def delete(self, username: str) -> None:
        """See `UserRepository.delete`; what depends on the row goes with it.

        Raises:
            UserNotFound: There is no such user.
            InvalidRequest: The project does not let the row go.
        """
        self.get_by_username(username)  # so that it has its account
        super().delete(username)

    def replace_hash(self, user: User, hashed_password: str) -> bool:
        """See `UserRepository.replace_hash`."""
        if user.hashed_password is None:
            return False
        before, after = column_of(user.hashed_password), column_of(hashed_password)
        alias = self._alias
        with translated_errors():
            accounts = Account.objects.using(alias).filter(
                pk=user.id, password_digest=digest_of(before)
            )
            row_key = accounts.values_list("user_id", flat=True).first()
            if row_key is None:
                return False
            rows = all_rows(alias).filter(pk=row_key, password=before)
            with transaction.atomic(using=alias):
                renewed = accounts.update(password_digest=digest_of(after), updated_at=self._time())
                renewed = renewed and rows.update(password=after)
                if not renewed:
                    transaction.set_rollback(True, using=alias)
            return bool(renewed)

    def _insert(self, new: NewUser) -> None:
        user, alias, now = new.user, self._alias, self._time()
        row = self._row(user.username, user.email)
        row.password = column_of(user.hashed_password)
        if self._columns.is_active:
            row.is_active = user.is_active
        if self._columns.date_joined:
            row.date_joined = to_column(user.created_at)
        setattr(row, NEW, True)
        account = Account(
            id=user.id,
            username_digest=digest_of(new.username_key),
            email_digest=None if self._columns.email is None else digest_of(new.email_key),
            email_verified=user.email_verified,
            password_digest=digest_of(row.password),
            is_active=user.is_active,
            roles=list(user.roles),
            created_at=now,
            updated_at=now,
        )
        with translated_errors():
            try:
                with transaction.atomic(using=alias):
                    row.save(force_insert=True, using=alias)
                    account.user = row
                    account.save(force_insert=True, using=alias)
                    if self._is_taken(new, without_account=True):
                        raise UserAlreadyExists
            except IntegrityError:
                refused = self._refusal(new)
            else:
                return
        raise refused

    def _find(self, column: UniqueColumn, value: str) -> User | None:
        field = _DIGESTS[column]
        wanted = value if column == "id" else digest_of(value)
        with translated_errors():
            row = self._rows().filter(**{f"tokenward_account__{field}": wanted}).first()
            if row is None:
                return None
            account = settle(row, row.tokenward_account, using=self._alias)
            # Compared again: it may have changed with its row, and a database may ignore case.
            if account is None or getattr(account, field) != wanted:
                return None
            return self._user(row, account)

    def _by_hand(self, kind: Kind, typed: str) -> User | None:
        if lookup_key(typed) is None:
            return None
        with translated_errors():
            found = find_by_hand(kind, typed, using=self._alias)
        return None if found is None else self._user(*found)

    def _page(self, skip: int, limit: int) -> list[User]:
        active = "is_active" if self._columns.is_active else "tokenward_account__is_active"
        users = []
        with translated_errors():
            rows = self._rows().filter(**{"tokenward_account__isnull": False, active: True})
            for row in rows.order_by("tokenward_account__created_at", "pk")[skip : skip + limit]:
                account = settle(row, row.tokenward_account, using=self._alias)
                users.append(None if account is None else self._user(row, account))
        return [user for user in users if user is not None and user.is_active]

    def _set(self, username: str, column: Change, value: Value, version: int | None = None) -> None:
        self.get_by_username(username)  # so that it has its account
        super()._set(username, column, value, version)

    def _change(self, username_key: str, column: Change, value: Value, version: int | None) -> bool:
        digest, alias = digest_of(username_key), self._alias
        changes: dict[str, Any] = {"updated_at": self._time()}
        written = []
        with translated_errors():
            row = self._rows().filter(tokenward_account__username_digest=digest).first()
            if row is None:
                return False
            as_seen: dict[str, Any] = (
                {"is_active": row.is_active} if self._columns.is_active else {}
            )
            # Only in step with its row: what was done to the row alone is not counted yet.
            in_step = {**as_seen, "password_digest": digest_of(row.password)}
            as_seen["password"] = row.password
            if column == "hashed_password":
                row.password = column_of(value if isinstance(value, str) else None)
                changes["password_digest"] = digest_of(row.password)
                written.append("password")
            else:
                changes[column] = list(value) if isinstance(value, tuple) else value
            if column == "is_active" and self._columns.is_active:
                row.is_active = value
                written.append("is_active")
            if column != "email_verified":
                changes["token_version"] = models.F("token_version") + 1
            mine = Account.objects.using(alias).filter(
                pk=row.tokenward_account.pk, username_digest=digest
            )
            if version is not None:
                mine = mine.filter(token_version=version, **in_step)
            with transaction.atomic(using=alias):
                # The account first: it is in step then when Django says that the row was saved.
                if not mine.update(**changes):
                    return False
                if version is not None and not self._is_still(row.pk, as_seen):
                    transaction.set_rollback(True, using=alias)
                    return False
                if written:
                    row.save(update_fields=written, using=alias)
        return True

    def _is_still(self, row_key: Any, as_seen: dict[str, Any]) -> bool:
        """Tell whether a row is as it was read, and keep it so until the transaction ends."""
        rows = all_rows(self._alias).filter(pk=row_key, **as_seen)
        return bool(rows.select_for_update())

    def _remove(self, username_key: str) -> bool:
        digest, alias = digest_of(username_key), self._alias
        with translated_errors():
            row = self._rows().filter(tokenward_account__username_digest=digest).first()
            if row is None:
                return False
            try:
                with savepoint(alias):
                    deleted, _ = row.delete(using=alias)
            except (models.ProtectedError, models.RestrictedError):
                text = "is needed by other rows of the project; deactivate the user instead"
                raise InvalidRequest({"username": text}) from None
        return bool(deleted)

    @property
    def _alias(self) -> str:
        return self._using or router.db_for_write(self._model)

    def _time(self) -> datetime:
        # Finer than seconds: pages are in the order of registration.
        return to_column(datetime.fromtimestamp(self._clock(), UTC))

    def _rows(self) -> Any:
        return visible_rows(self._alias)

    def _row(self, username: str, email: str | None) -> Any:
        row = self._model(**{self._columns.username: username})
        if self._columns.email is not None:
            setattr(row, self._columns.email, email)
        return row

    def _user(self, row: Any, account: Account) -> User | None:
        """Return the user; ``None``: the name is somebody else's."""
        if not holds(account.username_digest):
            return None
        own = self._columns
        email = None
        if own.email is not None and holds(account.email_digest):
            email = getattr(row, own.email)
        joined = row.date_joined if own.date_joined else None
        return User(
            id=account.id,
            username=str(row.get_username()),
            email=email,
            is_active=bool(row.is_active) and (own.is_active or account.is_active),
            email_verified=account.email_verified,
            roles=tuple(role for role in account.roles if is_text(role)),
            hashed_password=hash_in(row.password),
            created_at=from_column(joined or account.created_at),
            updated_at=from_column(account.updated_at),
            token_version=account.token_version,
        )

    def _is_taken(self, new: NewUser, *, without_account: bool) -> bool:
        """Tell whether a row other than the new one has the name or the address."""
        own = self._columns
        wanted = {own.username: (new.user.username, new.username_key)}
        if own.email is not None:
            wanted[own.email] = (str(new.user.email), new.email_key)
        for column, (typed, key) in wanted.items():
            rows = all_rows(self._alias).filter(**{f"{column}__iexact": typed})
            if without_account:
                rows = rows.filter(tokenward_account__isnull=True)
            if any(key_of(kept) == key for kept in rows.values_list(column, flat=True).iterator()):
                return True
        return False

    def _refusal(self, new: NewUser) -> AuthError:
        suspects = left_empty()
        if not suspects or self._is_taken(new, without_account=False):
            return UserAlreadyExists()
        hint = (
            f"the user model {self._model.__name__} has columns that a registration leaves "
            f"empty ({', '.join(suspects)}): give them defaults, or fill them before they are saved"
        )
        return AuthServiceUnavailable(hint, reason=REASON)

    def _check_value(self, field: str, column: str, value: str) -> None:
        try:
            validate(column, value)
        except ValidationError:
            # Their text may quote the value.
            text = "is not one that this site accepts"
            raise InvalidRequest({field: text}) from None

    def _check_password(self, password: str, row: Any) -> None:
        check_password(password)
        try:
            with translated_errors():
                validate_password(password, row)
        except ValidationError as error:
            text = " ".join(error.messages)
        else:
            return
        if password in text:
            text = "is not one that this site accepts"
        raise InvalidRequest({"password": text}, reason="invalid_password")
