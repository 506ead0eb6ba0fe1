"""Whether the person behind an open websocket may still listen: asked again while it is open."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils.crypto import constant_time_compare

from accounts.models import User
from bakery.roles import Action


def may_still(scope: dict[str, Any], action: Action) -> User | None:
    """The user whose session came with the handshake, read anew; None when it was signed out, its password changed,
    the account deactivated, or the role may not perform ``action``. Two queries."""
    session_key = getattr(scope.get("session"), "session_key", None)
    if not session_key:
        return None
    session = SessionStore(session_key).load()
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = User.objects.filter(pk=session[SESSION_KEY], is_active=True).first()
    if user is None or not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    return user if user.may(action) else None
