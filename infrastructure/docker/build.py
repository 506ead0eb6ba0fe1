"""Image builds: ``docker build`` run like any other command, so that it has a time limit, a log and a cancel.

The engine's client is used here and not its API, because it alone speaks to BuildKit. It runs with Bakery's rights,
so nothing in its argv or environment is the user's but the values of build arguments that its Dockerfile declares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrastructure.docker.client import Client, client_environment
from infrastructure.errors import Problem
from infrastructure.runner import Command
from infrastructure.runtime import Limits
from infrastructure.secret import Secret

DOCKERFILE = "Dockerfile"
LARGEST_DOCKERFILE = 1024 * 1024
DEFAULT_PORT = 3000
CPU_PERIOD = 100_000  # microseconds
ARGUMENT = re.compile(r"^[ \t]*ARG[ \t]+(.+)$", re.IGNORECASE | re.MULTILINE)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The client takes build arguments from its environment. These would change what the client itself does.
CLIENTS_OWN = re.compile(
    r"(PATH|HOME|USER|SHELL|TMPDIR|HOSTALIASES|LOCPATH|NLSPATH|GCONV_PATH|ZONEINFO|RES_OPTIONS|LOCALDOMAIN"
    r"|(DOCKER|BUILDKIT|BUILDX|COMPOSE|XDG|GO|SSL|SSH|OTEL|LD|MALLOC|GLIBC|TZ|LC|RESOLV)\w*)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ImageBuild:
    """One build, as a value."""

    directory: Path
    tag: str
    labels: Mapping[str, str]
    env: Mapping[str, Secret]
    limits: Limits
    client: Client
    cgroup_parent: str = ""

    def command(self, timeout: float) -> Command:
        arguments = declared_arguments(read_dockerfile(self.directory))
        given = {name: value for name, value in self.env.items() if name in arguments and not is_clients_own(name)}
        # Not --iidfile: with the image store of containerd it names what the engine does not know by that name.
        argv = [self.client.path, "build", "--tag", self.tag, "--force-rm"]
        labelled = None if self.client.buildkit else with_labels(self.directory / DOCKERFILE, self.labels)
        if labelled:
            argv += ["--file", "-"]
        else:
            argv += ["--file", str(self.directory / DOCKERFILE)]
            argv += [part for label in self.labels.items() for part in ("--label", "=".join(label))]
        argv += [part for name in sorted(given) for part in ("--build-arg", name)]  # the value comes from env
        if self.cgroup_parent:
            argv += ["--cgroup-parent", self.cgroup_parent]
        if self.client.buildkit:
            argv += ["--progress", "plain"]
        else:
            memory = f"{self.limits.memory_mb}m"
            argv += ["--memory", memory, "--memory-swap", memory, "--cpu-period", str(CPU_PERIOD)]
            argv += ["--cpu-quota", str(self.limits.cpu_percent * CPU_PERIOD // 100)]
        argv += ["--", str(self.directory)]
        return Command(
            argv=tuple(argv),
            env={
                **given,
                **client_environment(),
                "DOCKER_BUILDKIT": "1" if self.client.buildkit else "0",
                # With them an image would be a list of one image and a statement about it, under another id.
                "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            },
            stdin=labelled,
            timeout=timeout,
        )


def read_dockerfile(directory: Path) -> str:
    """The text of the Dockerfile. A symlink is refused: the client would send what it leads to, wherever that is."""
    for name in (DOCKERFILE, ".dockerignore"):
        if (directory / name).is_symlink():
            raise Problem("build.dockerfile", f"{name} is a symlink.", "Put the file itself into the base directory.")
    path = directory / DOCKERFILE
    if not path.is_file():
        raise Problem(
            "build.no-dockerfile",
            "The base directory has no Dockerfile.",
            "Add one, correct the base directory, or choose the Bun runtime.",
        )
    with path.open("rb") as file:
        return file.read(LARGEST_DOCKERFILE).decode("utf-8", "replace")


def with_labels(dockerfile: Path, labels: Mapping[str, str]) -> bytes | None:
    """The Dockerfile with all labels in one step at its end: of each ``--label`` the classic builder makes a step, with
    a container and a layer of its own. None: it ends in the middle of a line, or is too large."""
    text = dockerfile.read_bytes()
    if len(text) > LARGEST_DOCKERFILE or text.rstrip().endswith((b"\\", b"`")):
        return None
    pairs = " ".join(f'{name}="{value}"' for name, value in labels.items())
    return text + f"\nLABEL {pairs}\n".encode()


def declared_arguments(dockerfile: str) -> set[str]:
    """The names behind ARG: others would have no effect."""
    words = (word for line in ARGUMENT.findall(dockerfile) for word in line.split())
    return {match.group() for word in words if (match := NAME.match(word))}


def is_clients_own(name: str) -> bool:
    return CLIENTS_OWN.fullmatch(name) is not None


def withheld(env: Mapping[str, Secret], directory: Path) -> list[str]:
    """Variables that the Dockerfile asks for and does not get."""
    return sorted(name for name in declared_arguments(read_dockerfile(directory)) & set(env) if is_clients_own(name))


def exposed_port(config: Mapping[str, object]) -> int:
    """The first TCP port of EXPOSE, else 3000."""
    exposed = config.get("ExposedPorts") or {}
    assert isinstance(exposed, dict)  # noqa: S101 - the engine's API
    ports = sorted(int(port.partition("/")[0]) for port in exposed if not port.endswith(("/udp", "/sctp")))
    return ports[0] if ports else DEFAULT_PORT
