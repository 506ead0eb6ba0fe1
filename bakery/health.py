"""Whether each part of Bakery works, asked of the part itself. Nothing here is secret."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from bakery import heartbeat, version
from bakery.permissions import requires
from bakery.roles import Action


@dataclass(frozen=True)
class Part:
    ok: bool
    detail: str


def check_all() -> dict[str, Part]:
    parts = {"database": _database(), "redis": _redis()}
    parts.update(_processes(parts["redis"].ok))
    parts["nginx"] = _nginx()
    return parts


def _database() -> Part:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return Part(False, "PostgreSQL does not answer.")
    return Part(True, "answers")


def _redis() -> Part:
    return _said("Redis does not answer.", lambda: bool(heartbeat.connection().ping()))


def _said(otherwise: str, ask: Callable[[], bool]) -> Part:
    try:
        return Part(True, "answers") if ask() else Part(False, otherwise)
    except (redis.RedisError, OSError):
        return Part(False, otherwise)


def _processes(redis_answers: bool) -> dict[str, Part]:
    """A process that has no way to give a sign of life is not called healthy."""
    if not redis_answers:
        return {name: Part(False, "Not known while Redis does not answer.") for name in heartbeat.PROCESSES}
    try:
        seen = heartbeat.seen()
    except redis.RedisError:
        return _processes(False)
    silent = f"No sign of life for {heartbeat.EXPIRES} s."
    return {name: Part(is_alive, "alive" if is_alive else silent) for name, is_alive in seen.items()}


def _nginx() -> Part:
    def accepts() -> bool:
        with socket.create_connection(("127.0.0.1", settings.BAKERY.http_port), timeout=2):
            return True

    return _said("Nginx accepts no connection.", accepts)


@never_cache
@require_safe
@requires(Action.SEE_HEALTH)
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when every part works, else 503; the same JSON either way."""
    parts = check_all()
    ok = all(part.ok for part in parts.values())
    running = version.current()
    body = {
        "ok": ok,
        "version": {"sha": running.sha, "date": running.date},
        "parts": {name: asdict(part) for name, part in parts.items()},
    }
    return JsonResponse(body, status=200 if ok else 503)
