"""What is set for one name, as forms and commands give it; each field's own type, or refused by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from domains.models import Domain
from infrastructure import web_settings
from infrastructure.errors import Refused

PLAIN = ("redirects", "hsts_seconds", "max_body_mb", "maintenance")  # the model's own validators say what may be
SETTINGS = (*PLAIN, "auth_user", "auth_password", "allowed_networks", "headers")


def parsed_settings(domain: Domain, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the row with their new values. ``auth_password`` is hashed; left empty, the old one stays;
    ``auth_user`` empty: everybody may come in."""
    unknown = sorted(set(given) - set(SETTINGS))
    if unknown:
        raise ValidationError(f"There is no setting {', '.join(unknown)}. There are: {', '.join(SETTINGS)}.")
    changes: dict[str, Any] = {name: given[name] for name in PLAIN if name in given}
    problems: dict[str, str] = {}

    def read(field: str, parse: Callable[[], object]) -> None:
        try:
            changes[field] = parse()
        except Refused as problem:
            problems[field] = str(problem)

    if "allowed_networks" in given:
        texts = given["allowed_networks"]
        read("allowed_networks", lambda: list(web_settings.networks([texts] if isinstance(texts, str) else texts)))
    if "headers" in given:
        read("headers", lambda: web_settings.headers(dict(given["headers"])))
    if "auth_user" in given or given.get("auth_password"):
        user = given.get("auth_user", domain.auth_user)
        password = given.get("auth_password") or ""
        if user:
            read("auth_user", lambda: web_settings.user_name(user))
            if password or not domain.auth_hash:
                read("auth_hash", lambda: web_settings.password_hash(password))
        elif password:
            problems["auth_user"] = "A password needs a user name."
        else:
            changes.update(auth_user="", auth_hash="")
    if "auth_hash" in problems:
        problems["auth_password"] = problems.pop("auth_hash")
    if problems:
        raise ValidationError(problems)
    return changes
