"""The cast: Alice is an admin, Bob deploys, Charlie looks on."""

from __future__ import annotations

from functools import cache

from django.contrib.auth.hashers import make_password
from django.test import Client

from accounts.models import User
from bakery.roles import Role

PASSWORD = "correct-horse-battery-staple"
EVERYBODY, VIEWER, DEPLOYER, ADMIN = range(4)  # the lowest that may, in the tables of who may do what


def alice() -> User:
    return _person("alice@example.com", Role.ADMIN)


def bob() -> User:
    return _person("bob@example.com", Role.DEPLOYER)


def charlie() -> User:
    return _person("charlie@example.com", Role.VIEWER)


def by_rank() -> list[User | None]:
    """Nobody, a viewer, a deployer, an admin."""
    return [None, charlie(), bob(), alice()]


def browser(person: User) -> Client:
    """In which they are signed in."""
    client = Client()
    client.force_login(person)
    return client


def read_page(person: User, path: str) -> str:
    """A page, as they get it."""
    answer = browser(person).get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def _person(email: str, role: Role) -> User:
    return User.objects.filter(email=email).first() or User.objects.create(email=email, password=_hash(), role=role)


@cache
def _hash() -> str:
    """Made once: it takes a fifth of a second, and few tests type a password."""
    return make_password(PASSWORD)
