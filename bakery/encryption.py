"""Encryption at rest, with ``ENCRYPTION_KEY``.

``MultiFernet``: the first key encrypts, every key decrypts, so ``manage.py rotate_encryption_key`` can re-encrypt all
rows before an old key is taken out. A value that no key decrypts is a hard error: a deploy stops rather than start
with an empty environment.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from infrastructure.errors import Blame, Problem
from infrastructure.secret import Secret


@cache
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    return _cipher(settings.BAKERY.encryption_keys)


def encrypt(secret: Secret) -> str:
    return cipher().encrypt(secret.reveal().encode()).decode()


def decrypt(token: str) -> Secret:
    """The secret, or ``Problem`` ``secret.undecryptable``."""
    try:
        return Secret(cipher().decrypt(token.encode()).decode())
    except InvalidToken:
        raise Problem(
            "secret.undecryptable",
            "A stored secret cannot be decrypted with the keys in ENCRYPTION_KEY.",
            "Put the key with which it was stored back into ENCRYPTION_KEY (behind a comma), or enter the value anew.",
            blame=Blame.HOST,
        ) from None


class StoredSecret(Secret):
    """A secret as it came from the database: decrypted when it is revealed, so that a key that is missing stops what
    needs the value and nothing else."""

    __slots__ = ()

    def reveal(self) -> str:
        return decrypt(self._value).reveal()


if TYPE_CHECKING:
    SecretColumn = models.TextField[Secret | str, Secret]
else:
    SecretColumn = models.TextField


class EncryptedField(SecretColumn):
    """A column that holds a Fernet token and gives a ``Secret``."""

    # What django-stubs look for: it takes a Secret or a text, it gives a Secret.
    _pyi_private_set_type: Secret | str  # type: ignore[assignment]
    _pyi_private_get_type: Secret  # type: ignore[assignment]

    def from_db_value(self, value: str | None, *_: Any) -> StoredSecret | None:
        return None if value is None else StoredSecret(value)

    def to_python(self, value: Any) -> Any:
        return Secret(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        if value is None:
            return None
        return encrypt(value if isinstance(value, Secret) else Secret(str(value)))
