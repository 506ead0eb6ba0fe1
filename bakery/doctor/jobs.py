"""Sends each queue a job and waits until a worker has done it: the way that every deploy takes."""

from __future__ import annotations

import secrets
import time

import redis
from kombu.exceptions import OperationalError

from bakery import heartbeat
from bakery.doctor.finding import Finding, ok, wrong

QUEUES = ("deploys", "housekeeping")
SECONDS, KEPT = 30.0, 60
PREFIX = "bakery:answer:"


def give_answer(token: str) -> None:
    heartbeat.connection().set(f"{PREFIX}{token}", 1, ex=KEPT)


def job_findings(seconds: float = SECONDS) -> list[Finding]:
    return [_round_trip(queue, seconds) for queue in QUEUES]


def _round_trip(queue: str, seconds: float) -> Finding:
    from bakery.tasks import answer

    subject, token, begun = f"A job in “{queue}”", secrets.token_hex(8), time.monotonic()
    try:
        answer.apply_async((token,), queue=queue, expires=seconds, retry=False)
        while not heartbeat.connection().exists(f"{PREFIX}{token}"):
            if time.monotonic() - begun > seconds:
                return wrong(
                    subject,
                    f"was not done within {seconds:g} s: its workers are away, or all busy.",
                    "Look at /healthz and at the page Activity; restart the workers.",
                )
            time.sleep(0.02)
    except (redis.RedisError, OperationalError, OSError) as error:
        return wrong(subject, f"could not be sent: {error}", "Check REDIS_URL.")
    return ok(subject, f"was done in {time.monotonic() - begun:.2f} s")
