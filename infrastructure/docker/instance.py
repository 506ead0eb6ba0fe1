"""An instance's running containers, all at once: they end and come back with the quickstart."""

from __future__ import annotations

import json
from pathlib import Path

from infrastructure.confinement import instance_of
from infrastructure.docker.engine import INSTANCE, SLOT, Engine, translated
from infrastructure.errors import HostProblem

GRACE_SECONDS = 10


def stop_all(data_dir: Path) -> list[str]:
    """Stop the running containers that carry the instance's label. Returns their names; [] without an engine."""
    engine = Engine(instance_of(data_dir), "")
    try:
        engine.ping()
    except HostProblem:
        return []
    with translated():
        found = engine.api.containers(filters={"label": [f"{INSTANCE}={engine.instance}"]})
        for container in found:
            engine.stop(container["Id"], GRACE_SECONDS)
    names = [container["Names"][0].lstrip("/") for container in found if SLOT in container["Labels"]]
    if names:
        _record(data_dir).write_text(json.dumps(names))
    return names


def start_again(data_dir: Path) -> list[str]:
    """Start what ``stop_all`` has stopped, as far as it is still there."""
    record = _record(data_dir)
    try:
        names: list[str] = json.loads(record.read_text())
    except (OSError, ValueError):
        return []
    engine = Engine(instance_of(data_dir), "")
    started = []
    for name in names:
        if engine.container(name) is not None:
            with translated():
                engine.start_again(name)
            started.append(name)
    record.unlink()
    return started


def _record(data_dir: Path) -> Path:
    return data_dir / "run" / "containers.json"
