"""A running Bakery of a benchmark's own, in a temporary directory: started and stopped as the tests' is."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infrastructure.quickstart import environment_file
from tests.host.docker_engine import DockerEngine, bun_image
from tests.instance import EMAIL, PASSWORD, Instance
from tests.plan import options_in

SUBNET = "10.219.0.0/16"  # beside an instance that has containers on the usual one


def say(text: str) -> None:
    """Progress, beside the figures on standard output."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def running_instance(*, docker: bool = False) -> Iterator[Instance]:
    """With Alice as its admin. ``docker``: with an engine that has the image oven/bun:1, or this process ends."""
    data = Path(tempfile.mkdtemp(prefix="bakery-bench-"))
    data.chmod(0o711)  # the applications' own accounts pass through it
    options = options_in(data)
    instance = Instance(options)
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, data, ignore_errors=True)
        if docker:
            ends.enter_context(docker_engine())
            environment_file.write(instance.place.environment_file, {"BAKERY_DOCKER_SUBNET": SUBNET})
        say("Starting an instance …")
        ends.callback(instance.stop)
        instance.start()
        instance.manage("create_admin", EMAIL, "-", "--reset", stdin=f"{PASSWORD}\n")
        yield instance


@contextmanager
def docker_engine() -> Iterator[None]:
    """The host's, or one of our own where the instance's workers look for it."""
    engine = DockerEngine(Path("/run/docker.sock"))
    if why := engine.start():
        sys.exit(f"Docker: {why}.")
    try:
        bun_image("oven/bun:1")
        yield
    finally:
        engine.stop()
