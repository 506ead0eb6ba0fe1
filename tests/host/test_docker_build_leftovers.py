"""What builds leave behind in a real engine: ours goes, everybody else's stays."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from infrastructure.docker import leftovers, runtime
from infrastructure.docker.client import Client, client
from infrastructure.docker.engine import Engine
from infrastructure.errors import Problem
from tests.host.test_docker import BUSYBOX, House, docker, engine, house

__all__ = ["engine", "house"]
pytestmark = pytest.mark.skipif(not BUSYBOX, reason="busybox-static is not installed")

# Of this run alone: an engine of the host may have the cache of an earlier one.
FILL = f"RUN={time.time_ns()} dd if=/dev/urandom of=/filling bs=1M count="
# Two stages, of which the first is not part of what is kept.
KEPT = f"""FROM bakery-test/busybox AS maker
RUN {FILL}3
RUN echo made > /made
FROM bakery-test/busybox
COPY --from=maker /made /www/index.html
EXPOSE 8000
CMD ["httpd", "-f", "-v", "-p", "0.0.0.0:8000", "-h", "/www"]
"""
FAILS = f"FROM bakery-test/busybox\nRUN {FILL}4\nRUN exit 3\n"
STRANGERS = f"FROM bakery-test/busybox AS a\nRUN {FILL}2\nFROM bakery-test/busybox\nRUN echo b > /b\n"


@pytest.fixture(params=["classic", "buildkit"])
def buildkit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "classic":
        monkeypatch.setattr(runtime, "client", lambda path: Client(client(path).path, buildkit=False))
    elif not client().buildkit:
        pytest.skip("no client on this host has BuildKit")
    else:  # also with an engine whose BuildKit keeps no limits, where Bakery does not use it
        monkeypatch.setattr(runtime, "buildkit_keeps_limits", lambda engine: True)
    return bool(request.param == "buildkit")


def by_hand(directory: Path, buildkit: bool) -> None:
    directory.mkdir()
    (directory / "Dockerfile").write_text(STRANGERS)
    env = {**runtime.client_environment(), "DOCKER_BUILDKIT": str(int(buildkit)), "PATH": "/usr/bin:/bin"}
    argv = [client().path, "build", "--tag", "bakery-test/strangers", str(directory)]
    subprocess.run(argv, env=env, check=True, capture_output=True)


def what_is_there(house: House, buildkit: bool) -> dict[str, int]:
    """Ids and sizes of cache records, or of images without a name."""
    api: Any = house.runtime.engine.api
    if buildkit:
        records = api.df()["BuildCache"] or []
        return {record["ID"]: 0 if record["Shared"] else record["Size"] for record in records}
    return {image["Id"]: image["Size"] for image in api.images(all=True, filters={"dangling": True})}


def test_what_our_builds_left_goes_when_it_is_over_the_budget(house: House, buildkit: bool, tmp_path: Path) -> None:
    by_hand(tmp_path / "before", buildkit)
    time.sleep(2 * leftovers.CLOCKS)  # what is nearer to our builds than that may count as ours
    strangers = what_is_there(house, buildkit)
    assert strangers
    kept = house.build(house.source(1, Dockerfile=KEPT))
    with pytest.raises(Problem):
        house.build(house.source(2, Dockerfile=FAILS))
    ours = what_is_there(house, buildkit).keys() - strangers.keys()
    assert ours

    assert house.runtime.tidy(1024**3) == 0
    assert what_is_there(house, buildkit).keys() - strangers.keys() == ours
    some = house.runtime.tidy(5 * 1024**2)  # of some 7 MiB
    assert some > 0
    assert what_is_there(house, buildkit).keys() - strangers.keys()
    assert house.runtime.tidy(0) > 0

    assert what_is_there(house, buildkit).keys() >= strangers.keys()
    assert not {one for one, size in what_is_there(house, buildkit).items() if one in ours and size > 1024**2}
    assert house.runtime.tidy(0) == 0
    assert house.start(kept) == "made\n"
    docker("image", "rm", "bakery-test/strangers")


def test_where_nothing_was_built_the_engine_is_not_even_asked(tmp_path: Path) -> None:
    away = leftovers.Leftovers(tmp_path / "notes")
    assert away.trim(Engine("", "not even a subnet"), 0) == 0
    assert not (tmp_path / "notes").exists()
