"""What changes people's accounts. Pages, commands, Django's admin and the API call these."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import User
from bakery.roles import Role
from infrastructure.errors import Refused
from infrastructure.secret import Secret

logger = logging.getLogger(__name__)


def generated_password() -> Secret:
    return Secret(secrets.token_urlsafe(18))


def find_person(email: str) -> User | None:
    return User.objects.filter(email__iexact=email.strip()).first()


def create_person(*, by: User | None, email: str, password: Secret, role: str = Role.VIEWER, name: str = "") -> User:
    """A new account. Raises ``ValidationError`` by field, or ``Refused`` when the address is taken."""
    email = email.strip().lower()
    if find_person(email):
        raise Refused("person.exists", f"{email} has an account already.", "Change its role or password instead.")
    person = User(email=email, name=name, role=role)
    with _as_field("email"):
        validate_email(email)
    _check_password(password, person)
    person.set_password(password.reveal())
    person.full_clean()
    person.save()
    logger.info("%s made an account for %s (%s).", by or "The operator", person, role)
    return person


def set_password(person: User, *, by: User | None, password: Secret) -> None:
    """Ends all of the person's other sessions too: Django binds a session to the password's hash."""
    _check_password(password, person)
    person.set_password(password.reveal())
    person.save(update_fields=["password"])
    logger.info("%s changed the password of %s.", by or "The operator", person)


def set_role(person: User, *, by: User | None, role: str, active: bool | None = None) -> None:
    """Change what a person may, and whether they may sign in. The last active admin stays one."""
    if role not in Role.values:
        raise ValidationError({"role": f"“{role}” is no role: use {', '.join(Role.values)}."})
    active = person.is_active if active is None else active
    with transaction.atomic():
        # The admins' rows are locked, so that two who demote each other at once don't both succeed.
        admins = list(
            User.objects.select_for_update().filter(role=Role.ADMIN, is_active=True).values_list("pk", flat=True)
        )
        if admins == [person.pk] and not (active and role == Role.ADMIN):
            raise Refused(
                "person.last-admin", f"{person.email} is the last active admin.", "Make somebody else an admin first."
            )
        User.objects.filter(pk=person.pk).update(role=role, is_active=active)
    person.role, person.is_active = role, active
    logger.info("%s made %s %s %s.", by or "The operator", person, "an active" if active else "an inactive", role)


def create_admin(*, by: User | None, email: str, password: Secret, reset: bool = False) -> bool:
    """Make an admin; with ``reset`` give an existing person this password and the admin's role. True: a new account."""
    person = find_person(email)
    if person is None:
        create_person(by=by, email=email, password=password, role=Role.ADMIN)
        return True
    if not reset:
        raise Refused(
            "person.exists",
            f"{person.email} has an account already ({person.role}).",
            "Add --reset to make them an admin with a new password.",
        )
    with transaction.atomic():
        set_password(person, by=by, password=password)
        set_role(person, by=by, role=Role.ADMIN, active=True)
    return False


def _check_password(password: Secret, person: User) -> None:
    with _as_field("password"):
        validate_password(password.reveal(), person)


@contextmanager
def _as_field(field: str) -> Iterator[None]:
    """Put what a validator says beside the field that it is about."""
    try:
        yield
    except ValidationError as error:
        raise ValidationError({field: error.messages}) from error
