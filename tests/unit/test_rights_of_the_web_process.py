"""The web process has no rights over the host, so it has not even loaded what acts on it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOAD = """
import json, sys
import bakery.asgi
from django.urls import get_resolver
get_resolver().url_patterns
print(json.dumps(sorted(sys.modules)))
"""
ACTS_ON_THE_HOST = (
    "docker",
    "minio",
    "infrastructure.bun",
    "infrastructure.docker",
    "infrastructure.git",
    "infrastructure.nginx",
    "infrastructure.runtimes",
    "infrastructure.supervisor",
    "infrastructure.systemd",
    "infrastructure.update.mirror",
    "infrastructure.update.story",
    "deployments.services.engine",
    "deployments.services.preparation",
    "deployments.services.work",
    "databases.services.backing_up",
    "databases.services.bringing_back",
    "databases.services.copying",
    "databases.services.drop_story",
    "databases.services.making",
    "databases.services.rotation_story",
    "databases.services.stories",
    "databases.services.work",
)


def test_the_web_process_loads_nothing_that_acts_on_the_host() -> None:
    env = {
        "PATH": os.environ["PATH"],
        "BAKERY_ENV_FILE": "/dev/null",
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SESSION_SECRET": "0123456789abcdefghijklmnopqrstuvwxyz",
        "ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    found = [name for name in loaded if any(name == root or name.startswith(f"{root}.") for root in ACTS_ON_THE_HOST)]
    assert "deployments.views.actions" in loaded
    assert found == []
