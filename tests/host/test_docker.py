"""Releases in containers, on a real engine."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.docker.engine import NETWORK
from infrastructure.docker.runtime import DockerRuntime
from infrastructure.errors import Cancelled, HostProblem, Problem
from infrastructure.runner import Command, CommandFailed, Runner
from infrastructure.runtime import App, Build, Built, Limits, Observation, ProcessState
from infrastructure.secret import Secret
from tests.host.docker_engine import BUN, BUSYBOX, DockerEngine, bun_image, busybox_image
from tests.integration.waiting import until
from tests.plan import free_port

pytestmark = pytest.mark.skipif(not BUSYBOX, reason="busybox-static is not installed")
NUMBER = 930_000 + os.getpid() % 1000
SUBNET = "10.219.0.0/16"
LIMITS = Limits(memory_mb=128, cpu_percent=100, max_processes=64, timeout=120)
WEB = """FROM bakery-test/busybox
WORKDIR /app
EXPOSE 8000
COPY . .
CMD ["httpd", "-f", "-v", "-p", "0.0.0.0:8000", "-h", "/app"]
"""


class House:
    def __init__(self, data: Path, publish: str = "bridge") -> None:
        self.data = data
        self.log = b""
        self.runtime = DockerRuntime(data_dir=data, subnet=SUBNET, publish=publish)

    def hear(self, data: bytes) -> None:
        self.log += data
        print(data.decode("utf-8", "replace"), end="")  # shown when a test fails

    def source(self, release: int, **files: str) -> Path:
        directory = self.data / "builds" / str(NUMBER) / str(release)
        directory.mkdir(parents=True)
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return directory

    def build(self, source: Path, runner: Runner | None = None, **changes: Any) -> Built:
        settings: dict[str, Any] = {
            "base_directory": "", "build_command": "", "start_command": "", "env": {}, "limits": LIMITS, **changes,
        }  # fmt: skip
        plan = Build(deployment_id=NUMBER, release_id=int(source.name), source=source, **settings)
        return self.runtime.build(plan, runner or Runner(), self.hear)

    def app(self, built: Built, **changes: Any) -> App:
        settings: dict[str, Any] = {
            "release_id": 1, "slot": "blue", "port": free_port(), "address": "10.219.7.2", "base_directory": "",
            "start_command": "", "env": {}, "limits": LIMITS, "grace_seconds": 5,
            "container_port": built.container_port, **changes,
        }  # fmt: skip
        return App(deployment_id=NUMBER, artifact=built.artifact, **settings)

    def web(self, release: int = 1, **changes: str) -> Built:
        return self.build(self.source(release, Dockerfile=WEB, **{"index.html": f"release {release}", **changes}))

    def start(self, built: Built, **changes: Any) -> str:
        app = self.app(built, **changes)
        self.runtime.start(app, Runner())
        return ask(self.runtime.upstream(app))

    def observe(self, slot: str = "blue") -> Observation:
        return self.runtime.observe(NUMBER, slot)


def ask(upstream: str) -> str:
    def answer() -> str | None:
        try:
            with urllib.request.urlopen(f"http://{upstream}/", timeout=2) as response:
                text: str = response.read().decode()
                return text
        except OSError:
            return None

    found: str = until(answer)
    return found


def docker(*arguments: str) -> str:
    environment = {"DOCKER_HOST": os.environ["DOCKER_HOST"]} if "DOCKER_HOST" in os.environ else {}
    return Runner().run(Command(argv=("docker", *arguments), env=environment)).output.strip()


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[None]:
    one = DockerEngine()
    if why_not := one.start():
        pytest.skip(why_not)
    busybox_image("bakery-test/busybox")
    yield
    one.stop()


@pytest.fixture
def house(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    (tmp_path / "data").mkdir()
    one = House(tmp_path / "data", getattr(request, "param", "bridge"))
    yield one
    one.runtime.remove_deployment(NUMBER)
    assert docker("ps", "-aq", "--filter", f"label=bakery.deployment={NUMBER}") == ""
    assert docker("images", "-q", "--filter", f"label=bakery.deployment={NUMBER}") == ""
    docker("network", "rm", NETWORK) if NETWORK in docker("network", "ls", "--format", "{{.Name}}").split() else None


def test_it_is_built_started_at_its_address_answers_and_stops(house: House) -> None:
    built = house.web()
    assert built.artifact.startswith("sha256:")
    assert built.container_port == 8000
    app = house.app(built)
    assert house.runtime.upstream(app) == "10.219.7.2:8000"
    house.runtime.start(app, Runner())
    assert ask("10.219.7.2:8000") == "release 1"
    seen = house.observe()
    assert (seen.state, seen.release_id, seen.restarts) == (ProcessState.RUNNING, 1, 0)
    house.runtime.stop(NUMBER, "blue", 5)
    house.runtime.stop(NUMBER, "blue", 5)
    assert house.observe().state == ProcessState.STOPPED
    policy = docker("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", f"bakery-deployment-{NUMBER}-blue")
    assert policy == "no"


def test_it_has_limits_labels_an_init_and_no_more_capabilities_than_it_needs(house: House) -> None:
    house.start(house.web())
    found = json.loads(docker("inspect", f"bakery-deployment-{NUMBER}-blue"))[0]
    host = found["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NanoCpus"], host["Init"]) == (128 << 20, 64, 1_000_000_000, True)
    assert host["RestartPolicy"]["Name"] == "always"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "16m", "max-file": "2"}}
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges" in host["SecurityOpt"]
    labels = found["Config"]["Labels"]
    assert (labels["bakery.deployment"], labels["bakery.release"], labels["bakery.slot"]) == (str(NUMBER), "1", "blue")
    assert f"bakery/deployment-{NUMBER}:release-1" in docker(
        "image", "inspect", "--format", "{{.RepoTags}}", found["Image"]
    )


@pytest.mark.parametrize("house", ["loopback"], indirect=True)
def test_it_is_published_on_loopback_where_the_bridge_cannot_be_reached(house: House) -> None:
    app = house.app(house.web())
    house.runtime.start(app, Runner())
    assert house.runtime.upstream(app) == f"127.0.0.1:{app.port}"
    assert ask(f"127.0.0.1:{app.port}") == "release 1"


def test_both_slots_run_side_by_side_and_a_slot_is_taken_over(house: House) -> None:
    first, second = house.web(1), house.web(2)
    assert house.start(first) == "release 1"
    assert house.start(second, slot="green", address="10.219.7.3", release_id=2) == "release 2"
    assert ask("10.219.7.2:8000") == "release 1"
    assert house.start(second, release_id=2) == "release 2"
    assert house.observe().release_id == 2


def test_values_arrive_as_they_were_typed(house: House) -> None:
    values = {"LINES": "one\ntwo", "ODD": "a 'b' \"c\" $HOME 100% {x} ;#", "EMPTY": "", "UNICODE": "brûlée 🍮"}
    built = house.web()
    app = house.app(built, env={name: Secret(value) for name, value in values.items()})
    house.runtime.run_once(app, "env", Runner(), house.hear)
    heard = house.log.decode()
    for name, value in values.items():
        assert f"{name}={value}\n" in heard.replace("\r\n", "\n")
    assert "PORT=8000\n" in heard


def test_build_arguments_reach_the_build_and_no_argv(house: House) -> None:
    recorded: list[list[str]] = []

    class Recorder:
        def started(self, argv: list[str]) -> None:
            recorded.append(argv)

        def ended(self, handle: object, exit_code: int | None, note: str) -> None: ...

    dockerfile = "FROM bakery-test/busybox\nARG COLOUR\nARG PATH\nRUN echo colour is $COLOUR\n"
    env = {"COLOUR": Secret("very-green"), "PATH": Secret("/evil"), "NOT_ASKED_FOR": Secret("x")}
    house.build(house.source(1, Dockerfile=dockerfile), Runner(Recorder()), env=env)
    assert b"colour is very-green" in house.log
    assert b"PATH is no build argument" in house.log
    (argv,) = recorded
    assert "very-green" not in " ".join(argv)
    assert "NOT_ASKED_FOR" not in argv


def test_a_dockerfile_that_fails_is_explained_and_its_output_is_in_the_log(house: House) -> None:
    with pytest.raises(Problem) as caught:
        house.build(house.source(1, Dockerfile="FROM bakery-test/busybox\nRUN echo before; exit 3\n"))
    assert caught.value.id == "build.failed"
    assert b"before" in house.log


@pytest.mark.parametrize("text", ["FROM", "NONSENSE\n", "FROM bakery-test/does-not-exist\n"])
def test_a_dockerfile_that_makes_no_sense_is_explained(house: House, text: str) -> None:
    with pytest.raises(Problem) as caught:
        house.build(house.source(1, Dockerfile=text))
    assert caught.value.id == "build.failed"


def test_a_build_that_takes_too_long_and_one_that_is_cancelled_are_ended(house: House) -> None:
    source = house.source(1, Dockerfile="FROM bakery-test/busybox\nRUN sleep 600\n")
    with pytest.raises(Problem) as caught:
        house.build(source, limits=Limits(128, 100, 64, timeout=4))
    assert caught.value.id == "build.timed-out"
    began = time.monotonic()
    with pytest.raises(Cancelled):
        house.build(source, Runner(cancelled=lambda: time.monotonic() - began > 2))


def test_a_build_that_fills_its_memory_is_ended(house: House) -> None:
    hog = "FROM bakery-test/busybox\nRUN dd if=/dev/zero of=/tmp/null bs=400M count=1\n"
    with pytest.raises(Problem) as caught:
        house.build(house.source(1, Dockerfile=hog), limits=Limits(64, 100, 64, timeout=60))
    assert caught.value.id == "build.out-of-memory"


def test_a_dockerfile_that_is_a_symlink_is_refused(house: House) -> None:
    source = house.source(1, other="FROM bakery-test/busybox")
    (source / "Dockerfile").symlink_to("/etc/shadow")
    with pytest.raises(Problem) as caught:
        house.build(source)
    assert caught.value.id == "build.dockerfile"


def test_the_context_respects_dockerignore(house: House) -> None:
    dockerfile = "FROM bakery-test/busybox\nCOPY . /app\nRUN ls /app\n"
    house.build(house.source(1, Dockerfile=dockerfile, **{".dockerignore": "hidden\n", "hidden": "x", "shown": "x"}))
    assert b"shown" in house.log
    assert b"hidden" not in house.log


def test_one_that_fills_its_memory_is_seen_to_have_run_out_of_it(house: House) -> None:
    built = house.build(
        house.source(
            1,
            Dockerfile='FROM bakery-test/busybox\nCMD ["sh", "-c", "dd if=/dev/zero of=/tmp/x bs=400M count=1"]\n',
        )
    )
    house.runtime.start(house.app(built, limits=Limits(32, 100, 64)), Runner())
    assert until(lambda: house.observe().out_of_memory)


def test_one_that_ends_is_started_again_and_seen_to_be(house: House) -> None:
    built = house.build(
        house.source(1, Dockerfile='FROM bakery-test/busybox\nCMD ["sh", "-c", "echo broken; exit 7"]\n')
    )
    house.runtime.start(house.app(built), Runner())
    assert until(lambda: house.observe().restarts > 0)
    assert until(lambda: house.observe().exit_code == 7)
    assert "broken" in house.runtime.last_output(NUMBER, "blue")


def test_a_command_that_is_not_in_the_image_is_seen_to_end_with_127(house: House) -> None:
    house.runtime.start(house.app(house.web(), start_command="no-such-program"), Runner())
    assert until(lambda: house.observe().exit_code == 127)
    assert "no-such-program" in house.runtime.last_output(NUMBER, "blue")


def test_one_that_ignores_sigterm_is_killed_after_its_grace(house: House) -> None:
    stubborn = 'FROM bakery-test/busybox\nCMD ["sh", "-c", "trap : TERM; while :; do sleep 1; done"]\n'
    house.runtime.start(house.app(house.build(house.source(1, Dockerfile=stubborn))), Runner())
    until(lambda: house.observe().state == ProcessState.RUNNING)
    house.runtime.stop(NUMBER, "blue", 1)
    assert house.observe().state == ProcessState.STOPPED


def test_a_persistent_directory_begins_with_the_images_content_and_outlives_releases(house: House) -> None:
    dockerfile = (
        "FROM bakery-test/busybox\nWORKDIR /app\nRUN mkdir data && echo seed > data/seed && chown -R 1000 data\n"
        'USER 1000\nCMD ["sleep", "600"]\n'
    )
    kept = house.data / "persistent" / str(NUMBER) / "data"
    first = house.app(house.build(house.source(1, Dockerfile=dockerfile)), persistent={"data": kept})
    house.runtime.run_once(first, "touch data/from-one", Runner(), house.hear)
    second = house.app(house.build(house.source(2, Dockerfile=dockerfile)), persistent={"data": kept}, release_id=2)
    house.runtime.run_once(second, "ls data", Runner(), house.hear)
    assert house.log.decode().split()[-2:] == ["from-one", "seed"]
    assert (kept / "seed").read_text() == "seed\n"


def test_a_command_before_the_switch_tells_its_exit_code_and_leaves_no_container(house: House) -> None:
    app = house.app(house.web())
    with pytest.raises(CommandFailed) as caught:
        house.runtime.run_once(app, 'sh -c "echo migrating; exit 5"', Runner(), house.hear)
    assert caught.value.result.exit_code == 5
    assert b"migrating" in house.log
    assert docker("ps", "-aq", "--filter", f"name=bakery-deployment-{NUMBER}-once") == ""


def test_an_image_goes_with_its_release_and_no_other_image_does(house: House) -> None:
    built = house.web()
    house.start(built)
    house.runtime.stop(NUMBER, "blue", 1)
    assert house.runtime.has_artifact(built.artifact)
    house.runtime.remove_artifact(built.artifact)
    house.runtime.remove_artifact(built.artifact)
    assert not house.runtime.has_artifact(built.artifact)
    house.runtime.remove_artifact("bakery-test/busybox")
    assert house.runtime.has_artifact("bakery-test/busybox")


def test_a_container_of_somebody_else_is_left_alone(house: House) -> None:
    name = f"bakery-deployment-{NUMBER}-blue"
    docker("create", "--name", name, "bakery-test/busybox", "sleep", "1")
    try:
        with pytest.raises(HostProblem) as caught:
            house.runtime.start(house.app(house.web()), Runner())
        assert caught.value.id == "docker.name-taken"
    finally:
        docker("rm", name)


def test_containers_of_different_deployments_do_not_reach_each_other(house: House) -> None:
    built = house.web()
    house.start(built)
    app = house.app(built, slot="green", address="10.219.7.3")
    with pytest.raises(CommandFailed):
        house.runtime.run_once(app, "nc -w 2 10.219.7.2 8000", Runner(), house.hear)


@pytest.mark.skipif(shutil.which(BUN) is None, reason="Bun is not on this host")
def test_the_dockerfile_that_is_offered_builds_and_runs_a_bun_app_as_an_ordinary_user(house: House) -> None:
    bun_image("oven/bun:1")
    template = Path(__file__).parents[2] / "infrastructure" / "docker" / "Dockerfile.template"
    server = (
        "import fs from 'fs'; Bun.serve({ port: process.env.PORT, hostname: '0.0.0.0',"
        " fetch: () => new Response('uid ' + process.getuid() + (fs.existsSync('built') ? ' built' : '')) });"
    )
    files = {
        "package.json": json.dumps({"scripts": {"build": "bun build.ts", "start": "bun server.ts"}}),
        "build.ts": "require('fs').writeFileSync('built', '')",
        "server.ts": server,
    }
    built = house.build(
        house.source(1, Dockerfile=template.read_text(), **files), limits=Limits(1024, 100, 256, timeout=120)
    )
    assert built.container_port == 3000
    assert house.start(built, limits=Limits(512, 100, 128)) == "uid 1000 built"
