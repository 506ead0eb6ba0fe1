"""Plans the instance that the tests use, before Django reads its settings; nothing is started here.

The tests' own process gets the same environment as the instance, but another Redis database: what a test enqueues must
not wake the instance's workers, whose PostgreSQL database is another one as well (``bakery``, ours is ``test_bakery``).
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import IO

from infrastructure.quickstart import environment_file, layout, programs
from infrastructure.quickstart.options import Options
from tests.integration.acme_listener import make_listener

# What a killed worker left is picked up soon, so that tests of that need not wait.
# Backups that nobody asked for would come between what a test looks at, in some hours of the night.
OWN_SETTINGS = {"BAKERY_LEASE_SECONDS": "3", "BAKERY_NEW_DATABASES_BACKUPS": "never"}
_held: list[IO[str]] = []
_ports: list[int] = []
DATA_DIR = "BAKERY_TEST_DATA_DIR"  # keep the instance's data in this directory, to look into it afterwards


def options_in(data: Path) -> Options:
    """Of an instance beside others: on free ports, with no sample, unknown to ``manage.py``."""
    return Options(
        port=free_port(),
        http_port=free_port(),
        https_port=free_port(),
        data_dir=data,
        demo=False,
        detach=True,
        listed=False,
    )


def plan_instance() -> Options:
    """Write the instance's ``bakery.env`` and make it ours. Idempotent within one process."""
    data = _data_dir()
    place = layout.Layout(layout.CHECKOUT, data)
    data.mkdir(parents=True, exist_ok=True)
    options = options_in(data)
    authority = {**plan_authority(data), **plan_dns()}
    old = {**OWN_SETTINGS, **authority, **reserve_ranges(), **environment_file.read(place.environment_file)}
    values = environment_file.plan(place, options, programs.find(place), old)
    environment_file.write(place.environment_file, values)
    for name in [name for name in os.environ if name.startswith("BAKERY_") and name != DATA_DIR]:
        del os.environ[name]  # what the person has set for an instance of their own
    for name, value in values.items():
        os.environ[name] = value
    os.environ["REDIS_URL"] = values["REDIS_URL"].removesuffix("/0") + "/1"
    os.environ["BAKERY_ENV_FILE"] = str(place.environment_file)
    os.environ["DJANGO_SETTINGS_MODULE"] = "bakery.settings"
    return options


def plan_authority(data: Path) -> dict[str, str]:
    """Whom the instance asks for certificates: an ACME server that a test starts there when it needs one."""
    server = f"https://localhost:{free_port()}/dir"
    return {"CERTBOT_SERVER": server, "REQUESTS_CA_BUNDLE": str(make_listener(data / "acme-listener"))}


def plan_dns() -> dict[str, str]:
    """Whom the instance asks what DNS says: a server that a test starts there when it needs one. No name of the world
    is ever asked for. With the address as the server's public one, names that lead there are right."""
    port = str(free_port())
    return {"BAKERY_DNS_RESOLVERS": f"127.0.0.1:{port}", "BAKERY_DNS_PORT": port, "BAKERY_PUBLIC_IP": "127.0.0.1"}


def reserve_ranges() -> dict[str, str]:
    """Ports and container addresses that no other test session has: the lock lasts as long as this process."""
    number = _lock_of_its_own("ranges")
    first = 22_000 + 200 * number
    return {"BAKERY_PORT_RANGE": f"{first}-{first + 199}", "BAKERY_DOCKER_SUBNET": f"10.{100 + number}.0.0/16"}


def _lock_of_its_own(what: str) -> int:
    for number in range(50):
        lock = (Path(tempfile.gettempdir()) / f"bakery-test-{what}-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return number
    raise RuntimeError("50 test sessions run at the same time")


def _data_dir() -> Path:
    if kept := os.environ.get(DATA_DIR):
        return Path(kept).resolve()
    made = Path(tempfile.mkdtemp(prefix="bakery-test-")).resolve()
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def free_port() -> int:
    """Of this process alone, and given once: many a port is planned long before somebody listens there. It is below
    those that the kernel gives to outgoing connections, of which one would take it meanwhile."""
    while True:
        if not _ports:
            number = _lock_of_its_own("ports")
            _ports.extend(range(10_000 + 200 * number, 10_000 + 200 * (number + 1)))
        if _is_free(port := _ports.pop(0)):
            return port


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
