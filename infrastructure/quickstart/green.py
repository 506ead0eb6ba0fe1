"""Waits for ``/healthz``, and says in words what kept it from turning green."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from infrastructure.errors import HostProblem
from infrastructure.quickstart.control import FAILED_STATES, Supervisord
from infrastructure.quickstart.layout import Layout

SECONDS = 60.0


def ask(port: int) -> dict[str, Any] | None:
    """The answer of ``/healthz`` whatever its status; None when nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy of the person's
    try:
        with opener.open(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError as error:
        try:
            return dict(json.load(error))
        except ValueError:
            return {"ok": False, "parts": {"web": {"ok": False, "detail": f"it answers {error.code}"}}}
    except (OSError, ValueError):
        return None


def wait_until_green(port: int, place: Layout, supervisor: Supervisord, seconds: float = SECONDS) -> str:
    deadline = time.monotonic() + seconds
    while True:
        health = ask(port)
        if health and health.get("ok"):
            return "all parts answer"
        fatal = [
            name for name, state in supervisor.states().items() if state == "FATAL" and not name.startswith("bakery-")
        ]
        if fatal or time.monotonic() > deadline:
            raise HostProblem(
                "quickstart.not-green", _why(health, supervisor.states(), place.logs), f"The logs are in {place.logs}."
            )
        time.sleep(0.2)


def _why(health: dict[str, Any] | None, states: dict[str, str], logs: Path) -> str:
    """Which parts are down, and the last lines that their processes wrote."""
    failed = [name for name, state in states.items() if state in FAILED_STATES and not name.startswith("bakery-")]
    lines = ["Bakery did not become healthy."]
    if health is None:
        lines.append("The web process does not answer.")
        failed = failed or ["web"]
    else:
        parts = {name: part for name, part in health.get("parts", {}).items() if not part.get("ok")}
        lines += [f"{name}: {part.get('detail', 'down')}" for name, part in parts.items()]
        # A part that is no program of supervisord's is forked from “background”, and writes into its log.
        logged = (name if name in states else "background" for name in parts)
        failed += [name for name in dict.fromkeys(logged) if name not in failed]
    for name in failed:
        lines += [f"--- the end of logs/{name}.log", *_last_lines(logs / f"{name}.log")]
    return "\n".join(lines)


def _last_lines(file: Path, count: int = 12) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []
