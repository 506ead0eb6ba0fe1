"""Asks a new release from the host whether it answers: HTTP on its health path, or an open TCP port."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable

from infrastructure.errors import Problem
from infrastructure.runtime import Observation, ProcessState

GOOD_IN_A_ROW = 3
INTERVAL = 0.2  # seconds, while it does not answer
SOON, SOON_INTERVAL = 1.0, 0.05  # in the first second, in which a small app comes up
BETWEEN_GOOD = 0.05
OBSERVE_EVERY = 0.5
ANSWER_TIMEOUT = 5.0
SILENT = "nothing listens there"


def probe(
    upstream: str,
    path: str,
    hostname: str,
    timeout: float,
    observe: Callable[[], Observation],
    check: Callable[[], None],
) -> float:
    """Wait until ``upstream`` (``host:port``) gives K good answers in a row; returns the seconds that it took.

    A good answer has a status of 200 to 399; with an empty ``path`` an open port is enough. ``observe`` looks at the
    process, so that one that ended is not waited for. ``check`` raises when the job is to end.
    Raises ``Problem``: ``app.exited``, ``app.out-of-memory``, ``app.never-listened``, ``app.unhealthy``.
    """
    began = time.monotonic()
    good, last, looked = 0, SILENT, 0.0
    first_start = ""
    while True:
        check()
        now = time.monotonic()
        if now - looked >= OBSERVE_EVERY or now - began > timeout:
            seen = observe()
            first_start = first_start or seen.started_at
            _refuse_dead(seen, first_start)
            looked = now
        error = ask(upstream, path, hostname)
        if error is None:
            good += 1
            if good >= GOOD_IN_A_ROW:
                _refuse_dead(observe(), first_start)
                return time.monotonic() - began
            time.sleep(BETWEEN_GOOD)
            continue
        good, last = 0, error
        if time.monotonic() - began > timeout:
            raise _gave_up(upstream, path, timeout, last)
        time.sleep(SOON_INTERVAL if now - began < SOON else INTERVAL)


def ask(upstream: str, path: str, hostname: str, timeout: float = ANSWER_TIMEOUT) -> str | None:
    """One question. None: a good answer; else what was wrong, in words."""
    host, _, port = upstream.rpartition(":")
    try:
        if not path:
            with socket.create_connection((host, int(port)), timeout=timeout):
                return None
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            connection.request(
                "GET", path, headers={"Host": hostname, "User-Agent": "Bakery-Probe", "Connection": "close"}
            )
            status = connection.getresponse().status
        finally:
            connection.close()
    except ConnectionRefusedError:
        return SILENT
    except TimeoutError:
        return f"it does not answer within {timeout:g} s"
    except (OSError, http.client.HTTPException) as error:
        return f"the connection broke ({type(error).__name__})"
    return None if 200 <= status < 400 else f"it answers {status}"


def _refuse_dead(seen: Observation, first_start: str) -> None:
    if seen.out_of_memory:
        raise Problem(
            "app.out-of-memory",
            "The app used more memory than its limit and was ended.",
            "Raise the memory limit in the settings, or find out what fills it.",
        )
    died = seen.state in (ProcessState.EXITED, ProcessState.MISSING) or seen.restarts > 0
    replaced = bool(first_start and seen.started_at and seen.started_at != first_start)
    if died or replaced:
        code = "" if seen.exit_code is None else f" with code {seen.exit_code}"
        raise Problem(
            "app.exited",
            f"The app ended{code} before it answered.",
            "Its last lines stand at the end of the build log.",
        )


def _gave_up(upstream: str, path: str, timeout: float, last: str) -> Problem:
    port = upstream.rpartition(":")[2]
    if last == SILENT:
        return Problem(
            "app.never-listened",
            f"The app runs, but after {timeout:g} s nothing listens on port {port}.",
            "It has to listen on the port that the variable PORT names (in a container: on 0.0.0.0).",
        )
    return Problem(
        "app.unhealthy",
        f"GET {path} was not answered well within {timeout:g} s: {last}.",
        "Bakery waits for a status of 200 to 399. Mend the app, or set another health path.",
    )
