"""A Debian with systemd as its first process, in a container: as near to a server as one gets without one."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass

import pytest

from tests.integration.waiting import until

IMAGE = "bakery-test/systemd:bookworm"
SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,python3,procps,iproute2"
UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined")
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_NICE")
OPTIONS = [
    *(part for option in UNCONFINED for part in ("--security-opt", option)),
    *(part for name in CAPABILITIES for part in ("--cap-add", name)),
    *("--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec"),
    *("--stop-signal", "SIGRTMIN+3", "-e", "container=docker"),
]


@dataclass(frozen=True)
class Outcome:
    """How a program on the machine ended. ``output`` holds both of its streams."""

    code: int
    output: str

    @property
    def ok(self) -> bool:
        return self.code == 0


class Machine:
    """``name``: the container's. Subclasses say in ``options`` what it has beside its Debian."""

    def __init__(self, name: str) -> None:
        self.name = name

    def options(self) -> list[str]:
        return ["--network", "none"]

    def start(self) -> None:
        import_debian()
        docker("run", "-d", "--name", self.name, *OPTIONS, *self.options(), IMAGE, "/sbin/init")
        self.wait_until_up()

    def reboot(self) -> None:
        docker("restart", self.name)
        self.wait_until_up()

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name)

    def wait_until_up(self, seconds: float = 120) -> None:
        until(lambda: self.says("systemctl", "is-system-running") in ("running", "degraded"), seconds)

    def run(
        self, *argv: str, stdin: str | None = None, env: dict[str, str] | None = None, timeout: float = 120
    ) -> Outcome:
        """Run it as root to its end, whatever that is."""
        settings = [part for name, value in (env or {}).items() for part in ("-e", f"{name}={value}")]
        keyboard = ["-i"] if stdin is not None else []
        done = subprocess.run(
            ["docker", "exec", *keyboard, *settings, self.name, *argv], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", input=stdin, timeout=timeout, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout)

    def do(self, *argv: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run what has to succeed."""
        done = self.run(*argv, stdin=stdin, timeout=timeout)
        assert done.ok, f"{' '.join(argv)} ended with {done.code}:\n{done.output}"
        return done.output

    def says(self, *argv: str) -> str:
        """What it prints, whatever its exit code, without what it complains about."""
        return subprocess.run(
            ["docker", "exec", self.name, *argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            errors="replace", timeout=60, check=False,
        ).stdout.strip()  # fmt: skip

    def put(self, path: str, text: str, mode: str = "644") -> None:
        """A file with this text, and the directories above it."""
        write = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.do("sh", "-c", write, "put", path, mode, stdin=text)

    def read(self, path: str) -> str:
        return self.do("cat", path)

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path).ok

    def is_active(self, unit: str) -> bool:
        return self.says("systemctl", "is-active", unit) == "active"


def docker(*argv: str, timeout: float = 120) -> str:
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def import_debian() -> None:
    """Made once by debootstrap, then kept by the engine."""
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0:
        return
    with tempfile.TemporaryDirectory(prefix="bakery-debian-") as directory:
        argv = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, f"{directory}/root"]
        made = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode != 0:
            pytest.skip(f"debootstrap made no Debian here: {made.stdout[-300:]}{made.stderr[-300:]}")
        with subprocess.Popen(
            ["tar", "-C", f"{directory}/root", "--exclude=./var/cache/apt/archives/*.deb", "-c", "."],
            stdout=subprocess.PIPE,
        ) as tar:
            done = subprocess.run(["docker", "import", "-", IMAGE], stdin=tar.stdout, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
