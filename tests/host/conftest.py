"""A running Bakery on a host with a Docker engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.quickstart import environment_file
from tests.host.docker_engine import DockerEngine, bun_image
from tests.host.names_of_a_server import World, world_around
from tests.host.server import Server
from tests.integration.conftest import MakeApp, make_app

__all__ = ["MakeApp", "make_app"]


WHOLE_INSTALLATIONS = 1800  # seconds: packages have to be fetched first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test is the first to ask for the server waits until Bakery is installed there."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(WHOLE_INSTALLATIONS))


@pytest.fixture(scope="session", autouse=True)
def docker_engine() -> Iterator[DockerEngine]:
    """Before the instance starts, which keeps what its environment file says of where the engine is."""
    engine = DockerEngine()
    if why_not := engine.start():
        pytest.skip(why_not)
    if "DOCKER_HOST" in os.environ:
        file = Path(os.environ["BAKERY_ENV_FILE"])
        environment_file.write(file, {**environment_file.read(file), "DOCKER_HOST": os.environ["DOCKER_HOST"]})
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def base_image(docker_engine: DockerEngine) -> None:
    """What the Dockerfiles of the tests begin with; no registry is asked."""
    bun_image("oven/bun:1")


@pytest.fixture(scope="session")
def server(docker_engine: DockerEngine) -> Iterator[Server]:
    """A bare server, shared by all tests of the session; started by the first that asks for it."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("it takes root and debootstrap")
    one = Server(f"bakery-test-server-{os.getpid()}")
    try:
        one.start()
        yield one
    finally:
        one.remove()


@pytest.fixture
def installed(server: Server) -> Server:
    """The same server with Bakery on it, installed when it is not (any more)."""
    if server.admin is None or not server.exists("/usr/local/bin/bakery"):
        server.install()
    server.wait_until_healthy()
    return server


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The installed server among what decides over names and certificates, for the tests of one module."""
    with world_around(server, tmp_path_factory.mktemp("acme")) as made:
        yield made


@pytest.fixture(scope="module")
def ready(server: Server, base_image: None) -> Server:
    """Installed, with the base image that the Dockerfile names, and allowed to fetch from its own disk."""
    if server.admin is None or not server.exists("/usr/local/bin/bakery"):
        server.install()
    save = subprocess.Popen(["docker", "save", "oven/bun:1"], stdout=subprocess.PIPE)
    subprocess.run(["docker", "exec", "-i", server.name, "docker", "load"], stdin=save.stdout, check=True, timeout=120)
    assert save.wait(30) == 0
    allow_file_repositories(server)
    return server


def allow_file_repositories(server: Server) -> None:
    server.do("sed", "-i", "$ a BAKERY_ALLOW_FILE_REPOSITORIES=true", "/opt/bakery/.env")
    server.do("systemctl", "restart", "bakery.target")
    server.wait_until_healthy()
