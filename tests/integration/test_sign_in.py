from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from tests.integration.people import PASSWORD, alice, bob, charlie

pytestmark = pytest.mark.django_db


def sign_in(client: Client, email: str, password: str = PASSWORD, next: str = "") -> object:
    return client.post("/auth/login", {"username": email, "password": password, "next": next})


def test_a_person_signs_in_and_is_taken_to_the_page_they_asked_for() -> None:
    bob()
    client = Client()
    asked = client.get("/activity?state=failed")
    assert asked["Location"] == "/auth/login?next=%2Factivity%3Fstate%3Dfailed"
    response = sign_in(client, "  Bob@Example.com ", next="/activity?state=failed")
    assert (response.status_code, response["Location"]) == (302, "/activity?state=failed")
    assert client.get("/activity").status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_sign_in_never_leads_to_another_host(elsewhere: str) -> None:
    bob()
    assert sign_in(Client(), "bob@example.com", next=elsewhere)["Location"] == "/"


def test_the_answer_does_not_say_whether_the_account_exists() -> None:
    bob()
    User.objects.filter(pk=charlie().pk).update(is_active=False)
    answers = {
        sign_in(Client(), email, password).content.split(b'role="alert"')[1].split(b"</div>")[0]
        for email, password in (
            ("bob@example.com", "wrong"),
            ("nobody@example.com", "wrong"),
            ("charlie@example.com", PASSWORD),
        )
    }
    assert len(answers) == 1


def test_an_unknown_address_costs_one_hash_like_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.hashers import Argon2PasswordHasher

    bob()
    hashed: list[str] = []
    encode, verify = Argon2PasswordHasher.encode, Argon2PasswordHasher.verify
    monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *a, **k: hashed.append("encode") or encode(*a, **k))
    monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *a, **k: hashed.append("verify") or verify(*a, **k))
    for email in ("bob@example.com", "nobody@example.com"):
        hashed.clear()
        sign_in(Client(), email, "wrong")
        assert len(hashed) == 1


def test_guessing_is_paused_for_this_account_and_address_alone() -> None:
    alice()
    bob()
    client = Client(REMOTE_ADDR="192.0.2.1")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        last = sign_in(client, "bob@example.com", "wrong")
    assert b"Sign-in is paused" in last.content
    assert b"Sign-in is paused" in sign_in(client, "bob@example.com").content, "the right password does not help now"
    assert sign_in(client, "alice@example.com").status_code == 302
    assert sign_in(Client(REMOTE_ADDR="192.0.2.2"), "bob@example.com").status_code == 302


def test_a_new_password_signs_out_every_other_browser() -> None:
    person = bob()
    here, elsewhere = Client(), Client()
    here.force_login(person, settings.AUTHENTICATION_BACKENDS[-1])
    elsewhere.force_login(person, settings.AUTHENTICATION_BACKENDS[-1])
    new = "a sentence that nobody guesses"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/auth/password", form).status_code == 302
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302
    assert sign_in(Client(), person.email, new).status_code == 302


def test_a_weak_or_mistyped_password_is_refused_in_words() -> None:
    client = Client()
    client.force_login(bob())
    form = {"old_password": "wrong", "new_password1": "short", "new_password2": "other"}
    page = client.post("/auth/password", form).content.decode()
    assert "That is not your current password." in page
    assert "The two new passwords differ." in page


def test_signing_out_takes_a_post() -> None:
    client = Client()
    client.force_login(bob())
    assert client.get("/auth/logout").status_code == 405
    assert client.get("/").status_code == 200
    client.post("/auth/logout")
    assert client.get("/").status_code == 302
