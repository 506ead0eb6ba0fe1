"""A Docker engine for the tests, and base images that need no registry."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from infrastructure.docker.engine import NETWORK

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if Path(path).exists()), "")
BUN = os.environ.get("BAKERY_BUN") or shutil.which("bun") or "/opt/bun/node_modules/.bin/bun"


CONTROL_GROUPS = Path("/sys/fs/cgroup")


def mount_control_groups() -> None:
    """Version 1 alone: the hierarchies that this machine has not mounted. A systemd in a container would mount them
    for itself, and an engine that cannot find one no longer hears that a container has run out of memory."""
    if not (CONTROL_GROUPS / "memory").is_dir() or os.geteuid() != 0:
        return
    mounted = [
        line.split()[3].split(",") for line in Path("/proc/mounts").read_text().splitlines() if " cgroup " in line
    ]
    known = {option for options in mounted for option in options}
    rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    missing = [name for name, _, _, enabled in rows if enabled == "1" and name not in known]
    if missing:
        subprocess.run(["mount", "-o", "remount,rw", str(CONTROL_GROUPS)], capture_output=True, check=False)
    for names in [["net_cls", "net_prio"], *([name] for name in missing if not name.startswith("net_"))]:
        if set(names) <= set(missing):
            place = CONTROL_GROUPS / ",".join(names)
            place.mkdir(exist_ok=True)
            argv = ["mount", "-t", "cgroup", "-o", ",".join(names), "cgroup", str(place)]
            subprocess.run(argv, capture_output=True, check=False)


class DockerEngine:
    """The one that answers on this host, else a dockerd of the tests' own in a temporary directory.
    ``socket``: where it listens then, in that directory by default."""

    def __init__(self, socket: Path | None = None) -> None:
        self.socket = socket
        self.argv: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.directory: Path | None = None

    def start(self) -> str:
        """ "": it answers. Else why there is none."""
        if shutil.which("docker") is None:
            return "the program docker is not installed"
        if self.answers():
            return ""
        if os.geteuid() != 0 or shutil.which("dockerd") is None:
            return "no Docker engine answers, and only root with dockerd installed can start one"
        mount_control_groups()
        self.directory = Path(tempfile.mkdtemp(prefix="bakery-docker-"))
        socket = self.socket or self.directory / "docker.sock"
        self.argv = ["dockerd", "--host", f"unix://{socket}", "--data-root", f"{self.directory}/data"]
        self.argv += ["--exec-root", f"{self.directory}/exec", "--pidfile", f"{self.directory}/dockerd.pid"]
        os.environ["DOCKER_HOST"] = f"unix://{socket}"
        if self._run():
            return ""
        last = (self.directory / "log").read_text().strip().splitlines()[-1:]
        self.stop()
        return f"dockerd does not start here: {last}"

    def restart(self, *, kill: bool = False) -> None:
        """As by ``systemctl restart docker``, or after the kernel ended it. Only for one of our own."""
        assert self.process
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(60)
        self._wait_for_containerd()
        assert self._run(), "dockerd did not start again"

    def _wait_for_containerd(self) -> None:
        """dockerd's own one ends a moment after it. A new dockerd that still sees it would wait for it in vain."""
        assert self.directory
        try:
            pid = int((self.directory / "exec" / "containerd" / "containerd.pid").read_text())
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _run(self) -> bool:
        assert self.directory
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.answers():
                return True
            time.sleep(0.2)
        return False

    def stop(self) -> None:
        if self.process:
            # Its bridge would outlive it, and take the containers' addresses from the next engine.
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(["docker", "network", "rm", NETWORK], capture_output=True, timeout=60, check=False)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            os.environ.pop("DOCKER_HOST", None)
        if self.directory:
            self._unmount()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _unmount(self) -> None:
        """A dockerd that was killed, or started again, leaves its data mounted upon itself: it could not be deleted."""
        places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((place for place in places if place.startswith(f"{self.directory}/")), reverse=True):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)

    @staticmethod
    def answers() -> bool:
        try:
            return subprocess.run(["docker", "version"], capture_output=True, timeout=20, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def import_image(name: str, files: dict[str, Path], links: dict[str, str], changes: Iterable[str] = ()) -> None:
    """An image out of files of this host: what `FROM` in the tests' Dockerfiles names."""
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for directory in ("bin", "etc", "tmp", "usr/bin", "usr/local/bin"):
                entry = tarfile.TarInfo(directory)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
                tar.addfile(entry)
            for path, source in files.items():
                tar.add(source.resolve(), path)
            for path, target in links.items():
                entry = tarfile.TarInfo(path)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                tar.addfile(entry)
            passwd = b"root:x:0:0::/:/bin/sh\nbun:x:1000:1000::/home/bun:/bin/sh\n"
            entry = tarfile.TarInfo("etc/passwd")
            entry.size = len(passwd)
            tar.addfile(entry, io.BytesIO(passwd))
        archive.seek(0)
        options = [part for change in changes for part in ("--change", change)]
        subprocess.run(["docker", "import", *options, "-", name], stdin=archive, check=True, capture_output=True)


def busybox_image(name: str) -> None:
    applets = (
        "sh",
        "httpd",
        "sleep",
        "cat",
        "echo",
        "id",
        "mkdir",
        "env",
        "nc",
        "ls",
        "touch",
        "chown",
        "head",
        "tail",
        "dd",
    )
    links = {f"bin/{applet}": "busybox" for applet in applets}
    import_image(name, {"bin/busybox": Path(BUSYBOX)}, links)


def bun_image(name: str) -> None:
    """What matters of oven/bun:1: Bun in /usr/local/bin, the user bun, /home/bun/app as the place to be."""
    libraries = subprocess.run(["ldd", BUN], capture_output=True, text=True, check=True).stdout.split()
    files = {path.lstrip("/"): Path(path) for path in libraries if path.startswith("/")}
    files |= {"usr/local/bin/bun": Path(BUN), "bin/busybox": Path(BUSYBOX)}
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    if authorities.exists():
        files["etc/ssl/certs/ca-certificates.crt"] = authorities
    links = {"bin/sh": "busybox", "bin/mkdir": "busybox", "bin/chown": "busybox", "usr/bin/env": "../../bin/busybox"}
    import_image(
        name, files, links, ("WORKDIR /home/bun/app", "ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt")
    )
