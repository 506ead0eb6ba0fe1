"""What a build runs, as values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infrastructure.bun_build import Package, has_lock_file, start_argv, steps
from infrastructure.docker.build import ImageBuild, declared_arguments, exposed_port, is_clients_own
from infrastructure.docker.client import Client
from infrastructure.docker.containers import words
from infrastructure.errors import Problem
from infrastructure.git import Repository
from infrastructure.runtime import Limits
from infrastructure.secret import Secret


def argvs(package: Package | None, *, locked: bool, build_command: str = "") -> list[tuple[str, ...]]:
    return [step.argv for step in steps("bun", package, locked=locked, build_command=build_command)]


def test_a_lock_file_is_kept_to() -> None:
    package = Package(has_dependencies=True, scripts=frozenset({"build", "start"}))
    assert argvs(package, locked=True) == [("bun", "install", "--frozen-lockfile"), ("bun", "run", "build")]


def test_without_a_lock_file_it_installs_what_there_is() -> None:
    assert argvs(Package(has_dependencies=True, scripts=frozenset()), locked=False) == [("bun", "install")]
    assert argvs(Package(has_dependencies=False, scripts=frozenset()), locked=False) == []
    assert argvs(None, locked=False) == []


def test_a_command_of_ones_own_takes_the_place_of_the_build_script_and_meets_no_shell_of_the_host() -> None:
    package = Package(has_dependencies=False, scripts=frozenset({"build"}))
    assert argvs(package, locked=False, build_command="a && b; c") == [("bun", "exec", "a && b; c")]
    assert start_argv("bun", "") == ("bun", "run", "start")
    assert start_argv("bun", "bun x.ts | cat") == ("bun", "exec", "bun x.ts | cat")


def test_the_lock_file_of_a_monorepo_lies_above(tmp_path: Path) -> None:
    app = tmp_path / "repository" / "apps" / "web"
    app.mkdir(parents=True)
    (tmp_path / "bun.lock").touch()  # outside: not ours
    assert not has_lock_file(app, tmp_path / "repository")
    (tmp_path / "repository" / "bun.lock").touch()
    assert has_lock_file(app, tmp_path / "repository")


def image_build(directory: Path, **env: str) -> ImageBuild:
    return ImageBuild(
        directory=directory,
        tag="bakery/deployment-1:release-2",
        labels={"bakery.release": "2"},
        env={name: Secret(value) for name, value in env.items()},
        limits=Limits(256, 150, 64, timeout=60),
        client=Client("/usr/bin/docker", buildkit=False),
    )


def test_an_image_is_built_with_limits_and_no_value_in_its_argv(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\nARG TOKEN\nARG DOCKER_CONFIG\n")
    build = image_build(tmp_path, TOKEN="hush", DOCKER_CONFIG="/evil", UNUSED="x")
    command = build.command(60)
    text = " ".join(command.argv)
    assert "--build-arg TOKEN" in text
    assert "hush" not in text
    assert "--memory 256m --memory-swap 256m" in text
    assert "--cpu-quota 150000" in text
    assert command.argv[-2:] == ("--", str(tmp_path))
    assert command.env["TOKEN"] == Secret("hush")
    assert command.env.get("DOCKER_CONFIG") != Secret("/evil")
    assert "UNUSED" not in command.env


def test_the_classic_builder_gets_all_labels_in_one_step_and_buildkit_as_options(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\nRUN make")
    classic = image_build(tmp_path)
    assert classic.command(60).stdin == b'FROM x\nRUN make\nLABEL bakery.release="2"\n'
    assert "--label" not in classic.command(60).argv
    kit = replace(classic, client=Client("/usr/bin/docker", buildkit=True)).command(60)
    assert kit.stdin is None
    assert "--label bakery.release=2" in " ".join(kit.argv)
    (tmp_path / "Dockerfile").write_text("FROM x\nRUN make \\\n")
    assert "--label bakery.release=2" in " ".join(classic.command(60).argv)


def test_the_arguments_that_a_dockerfile_declares_are_read() -> None:
    text = "ARG A\nFROM x\n arg B=1 C\nRUN echo ARG D\n# ARG E\n"
    assert declared_arguments(text) == {"A", "B", "C"}


@pytest.mark.parametrize(
    "name", ["PATH", "home", "DOCKER_HOST", "BUILDX_CONFIG", "SSL_CERT_FILE", "LD_PRELOAD", "GODEBUG"]
)
def test_what_would_change_the_client_itself_is_withheld(name: str) -> None:
    assert is_clients_own(name)
    assert not is_clients_own(f"MY_{name}")


def test_the_port_is_the_first_exposed_tcp_port() -> None:
    assert exposed_port({"ExposedPorts": {"9000/tcp": {}, "8080/tcp": {}, "53/udp": {}}}) == 8080
    assert exposed_port({"ExposedPorts": None}) == 3000
    assert exposed_port({}) == 3000


def test_a_containers_command_is_split_into_words() -> None:
    assert words("") is None
    assert words("bun run 'a b'; rm") == ["bun", "run", "a b;", "rm"] or words("bun 'a b'") == ["bun", "a b"]
    with pytest.raises(Problem):
        words("echo 'open")


def test_git_reads_no_configuration_of_the_host_and_asks_nobody(tmp_path: Path) -> None:
    repository = Repository(deployment_id=1, url="https://example.com/x.git", cache=tmp_path / "1.git")
    command = repository.command("ls-remote", "--", repository.url)
    assert command.env["GIT_CONFIG_NOSYSTEM"] == "1"
    assert command.env["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert command.env["GIT_TERMINAL_PROMPT"] == "0"
    count = int(str(command.env["GIT_CONFIG_COUNT"]))
    options = [f"{command.env[f'GIT_CONFIG_KEY_{n}']}={command.env[f'GIT_CONFIG_VALUE_{n}']}" for n in range(count)]
    assert options[0] == "protocol.allow=never"
    assert "core.hooksPath=/dev/null" in options
    allowed = {option for option in options if option.endswith(".allow=always")}
    assert allowed == {"protocol.https.allow=always", "protocol.ssh.allow=always"}
