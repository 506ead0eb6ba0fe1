"""At the end of an installation: does it work, seen from where a visitor is?"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from infrastructure.errors import HostProblem
from infrastructure.server.server import HTTP_PORT
from infrastructure.server.work import Work
from infrastructure.systemd.bakery_units import SERVICES

SECONDS = 120.0


def health_through_nginx(base_url: str) -> dict[str, Any]:
    """What ``/healthz`` says behind the machine's Nginx; {} when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=10)
    try:
        connection.request("GET", "/healthz", headers={"Host": urlsplit(base_url).hostname or "localhost"})
        answer = connection.getresponse()
        text = answer.read()
        return dict(json.loads(text))
    except (OSError, http.client.HTTPException):
        return {}
    except ValueError:
        return {"parts": {"web": {"ok": False, "detail": f"Nginx answers {answer.status}: {text[:200]!r}"}}}
    finally:
        connection.close()


def wait_until_green(base_url: str, work: Work, seconds: float = SECONDS) -> str:
    deadline = time.monotonic() + seconds
    while True:
        health = health_through_nginx(base_url)
        if health.get("ok"):
            return "all parts answer"
        if time.monotonic() > deadline:
            journal = work.run("journalctl", "--no-pager", "-o", "cat", "-n", "40", *_units(), check=False).output
            raise HostProblem(
                "install.not-green",
                f"Bakery did not become healthy. {_complaints(health)}\n{journal.strip()}",
                f"systemctl status {' '.join(SERVICES)} nginx",
            )
        time.sleep(0.3)


def _units() -> list[str]:
    return [part for name in SERVICES for part in ("-u", name)]


def _complaints(health: dict[str, Any]) -> str:
    parts = health.get("parts", {})
    said = [f"{name}: {part.get('detail')}" for name, part in parts.items() if not part.get("ok")]
    return "; ".join(said) or "Nobody answers on port 80."
