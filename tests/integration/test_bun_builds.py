"""How a Bun release is built, for real: what a build is given, how it fails, where it is ended, what it may not see."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from infrastructure.confinement import uid_for
from infrastructure.errors import Cancelled, Problem
from infrastructure.runner import Runner
from infrastructure.runtime import Limits
from infrastructure.secret import Secret
from infrastructure.trees import make_owned, make_private
from tests.integration.bun_house import NEEDS_BUN, NUMBER, SERVER, House, house, package, supervisord

__all__ = ["house", "supervisord"]
pytestmark = [pytest.mark.slow, NEEDS_BUN]


def test_a_build_has_its_variables_runs_its_script_and_leaves_nothing_running(house: House) -> None:
    script = "require('fs').writeFileSync('built.txt', process.env.COLOUR + process.env.NODE_ENV)"
    files = {
        "package.json": package(start="bun server.ts", build="bun build.js"),
        "server.ts": SERVER,
        "build.js": script,
    }
    artifact = house.build(house.source(1, **files), env={"COLOUR": Secret("green")})
    assert (Path(artifact) / "built.txt").read_text() == "greenproduction"
    assert b"$ bun run build" in house.log


def test_a_build_command_of_its_own_runs_in_buns_shell(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="bun server.ts"), "server.ts": SERVER})
    artifact = house.build(source, build_command="echo one > out.txt && echo $0 two >> out.txt; printenv HOME")
    assert (Path(artifact) / "out.txt").read_text().startswith("one\n")
    assert f"{house.data}/builds/{NUMBER}/cache".encode() in house.log


def test_a_start_command_needs_no_package_json(house: House) -> None:
    artifact = house.build(house.source(1, **{"server.ts": SERVER}), start_command="bun server.ts")
    assert house.start(artifact, start_command="bun server.ts", env={"A": Secret("b")})["A"] == "b"


def test_a_base_directory_is_where_it_is_built_and_started(house: House) -> None:
    files = {"apps/web/package.json": package(start="bun server.ts"), "apps/web/server.ts": SERVER}
    artifact = house.build(house.source(1, **files), base_directory="apps/web")
    assert house.start(artifact, base_directory="apps/web")["PWD"].endswith("/1/apps/web")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"readme": "x"}, "build.no-package-json"),
        ({"package.json": package(build="true")}, "build.no-start-script"),
        ({"package.json": "{"}, "build.package-json"),
        ({"package.json": "[]"}, "build.package-json"),
        ({"package.json": package(start="x", build="exit 3")}, "build.failed"),
        ({"package.json": package({"left": "file:./no-such"}, start="x")}, "build.failed"),
        ({"package.json": package({"is-odd": "file:./a"}, start="x"), "bun.lock": "{}"}, "build.lock-file"),
    ],
)
def test_what_cannot_be_built_is_explained(house: House, files: dict[str, str], problem: str) -> None:
    with pytest.raises(Problem) as caught:
        house.build(house.source(1, **files))
    assert caught.value.id == problem
    assert caught.value.hint


def test_a_build_that_takes_too_long_is_ended(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="x", build="sleep 600")})
    with pytest.raises(Problem) as caught:
        house.build(source, limits=Limits(512, 100, 128, timeout=1))
    assert caught.value.id == "build.timed-out"


@pytest.mark.parametrize("where", ["", "$HOME/"])
def test_a_build_that_fills_the_disk_is_ended_in_words(house: House, where: str) -> None:
    fill = f"for i in $(seq 400); do head -c 1000000 /dev/zero > {where}$i; done; sleep 600"
    source = house.source(1, **{"package.json": package(start="x", build="sh fill.sh"), "fill.sh": fill})
    with pytest.raises(Problem) as caught:
        house.build(source, limits=Limits(512, 100, 128, timeout=60, disk_mb=60))
    assert caught.value.id == "build.disk-limit"
    assert "60 MiB" in caught.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is made with a tmpfs, which takes root")
def test_a_build_is_ended_before_the_disk_is_full(house: House) -> None:
    builds = house.data / "builds"
    builds.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=711", "tmpfs", str(builds)], check=True)
    try:
        fill = "for i in $(seq 400); do head -c 1000000 /dev/zero > $i; done; sleep 600"
        source = house.source(1, **{"package.json": package(start="x", build="sh fill.sh"), "fill.sh": fill})
        with pytest.raises(Problem) as caught:
            house.build(source, limits=Limits(512, 100, 128, timeout=60))
        assert caught.value.id == "build.disk-limit"
        assert "running full" in caught.value.message
        assert shutil.disk_usage(builds).free > 0
    finally:
        subprocess.run(["umount", "--lazy", str(builds)], check=True)


def test_one_file_does_not_grow_over_the_disk_limit(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="x", build="sh fill.sh"), "fill.sh": "cat /dev/zero > x"})
    with pytest.raises(Problem) as caught:
        house.build(source, limits=Limits(512, 100, 128, timeout=60, disk_mb=60))
    assert caught.value.id == "build.disk-limit"
    assert (source / "x").stat().st_size <= 60 * 1024 * 1024


def test_a_build_is_cancelled(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="x", build="sleep 600")})
    began = time.monotonic()
    with pytest.raises(Cancelled):
        house.build(source, Runner(cancelled=lambda: time.monotonic() - began > 1))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a build an own uid")
def test_an_install_script_cannot_read_bakerys_secrets_nor_another_deployment(house: House) -> None:
    secret = house.data / "bakery.env"
    secret.write_text("ENCRYPTION_KEY=do-not-tell")
    secret.chmod(0o600)
    beside = make_owned(make_private(house.data / "builds" / "77", uid_for(77)) / "1", uid_for(77))
    (beside / "source.ts").write_text("private")
    script = f"""
      const fs = require("fs");
      const say = (what) => console.log(what);
      const attempt = (what) => {{ try {{ say("DONE " + what()); }} catch (e) {{ say("refused " + e.code); }} }};
      for (const path of ["{secret}", "{beside}/source.ts", "/proc/{os.getpid()}/environ"])
        attempt(() => fs.readFileSync(path, "utf8"));
      attempt(() => fs.writeFileSync("{beside}/evil", "x"));
      console.log("environment " + Object.keys(process.env).sort());
    """
    files = {"package.json": package({"self": "file:./lib"}, start="x", postinstall="bun steal.js"), "steal.js": script}
    house.build(house.source(1, **files, **{"lib/package.json": '{"name": "self", "version": "1.0.0"}'}))
    heard = house.log.decode()
    assert heard.count("refused") == 4
    assert "DONE" not in heard
    assert "ENCRYPTION_KEY" not in heard


def test_an_artifact_is_removed_and_nothing_outside_the_builds(house: House, tmp_path: Path) -> None:
    artifact = house.serving()
    assert house.runtime.has_artifact(artifact)
    house.runtime.remove_artifact(artifact)
    assert not house.runtime.has_artifact(artifact)
    precious = tmp_path / "precious"
    precious.mkdir()
    for wrong in (precious, house.data / "builds", house.data / "builds" / ".." / ".."):
        house.runtime.remove_artifact(str(wrong))
    assert precious.is_dir()
    assert (house.data / "builds").is_dir()
