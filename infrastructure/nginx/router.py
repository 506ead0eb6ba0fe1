"""The ``Router`` on one stock Nginx: a vhost file per deployment, and a link for the slot that is live."""

from __future__ import annotations

import fcntl
import http.client
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.files import point_symlink, write_atomically
from infrastructure.nginx.config import base_config, generation_config, site_config
from infrastructure.nginx.pages import state_page, unknown_page
from infrastructure.routing import Route
from infrastructure.runner import Command, CommandFailed, Runner

SLOTS = ("blue", "green")
APPLY_SECONDS = 20.0
LONGEST_SOCKET_PATH = 107  # bytes: sun_path of unix(7)
IN_USE = ("02", "03")  # /proc/net/unix, column St: waiting in the backlog, connected


class NginxRouter:
    """``prefix`` is Nginx's own directory: conf, sites, run (sockets), pages."""

    def __init__(
        self,
        *,
        prefix: Path,
        nginx_binary: str,
        http_port: int,
        logs_dir: Path,
        libraries: str = "",
        runner: Runner | None = None,
    ) -> None:
        self.prefix = prefix
        self.run = prefix / "run"
        self.sites = prefix / "sites"
        self.nginx_binary = nginx_binary
        self.http_port = http_port
        self.logs_dir = logs_dir
        self.environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
        self.runner = runner or Runner()
        longest = len(os.fsencode(self.run / "9999999" / "green.sock"))
        if longest > LONGEST_SOCKET_PATH:
            raise HostProblem(
                "path.too-long",
                f"{self.run} is too long a path for the sockets in it ({longest} of {LONGEST_SOCKET_PATH} bytes).",
                "Choose a data directory with a shorter path.",
            )

    # What an instance does once.

    def prepare(self, user: str | None) -> None:
        """Write the main file and what belongs to it; keeps sites, routes and the token. Nginx is not told."""
        for name in ("conf", "sites", "run", "pages", "temp"):
            (self.prefix / name).mkdir(parents=True, exist_ok=True)
        self.logs_dir.mkdir(parents=True, exist_ok=True)
        token = self.prefix / "conf" / "token"
        if not token.exists():
            write_atomically(token, secrets.token_hex(16), 0o600)
        text = base_config(
            prefix=self.prefix, run=self.run, logs=self.logs_dir, listen=self._listen(), token=token.read_text(), user=user
        )
        write_atomically(self._main(), text, 0o600)
        write_atomically(self.prefix / "pages" / "unknown.html", unknown_page())
        if not self._generation_file().exists():
            write_atomically(self._generation_file(), generation_config(1))

    # The Router.

    def apply(self, routes: list[Route]) -> None:
        with self._lock():
            texts = {
                self.sites / f"{r.deployment_id}.conf": site_config(
                    r, run=self._dir(r.deployment_id), listen=self._listen()
                )
                for r in routes
            }
            for route in routes:
                self._make_dir(route)
            changed = {path: text for path, text in texts.items() if _text(path) != text}
            if changed:
                self._replace(dict(changed))

    def remove(self, deployment_id: int) -> None:
        with self._lock():
            path = self.sites / f"{deployment_id}.conf"
            if path.exists():
                self._replace({path: None})
            shutil.rmtree(self._dir(deployment_id), ignore_errors=True)

    def switch(self, deployment_id: int, slot: str, release_id: int) -> None:
        directory = self._dir(deployment_id)
        releases = directory / "releases"
        (releases / str(int(release_id))).mkdir(parents=True, exist_ok=True)
        point_symlink(directory / f"{slot}.release", f"releases/{int(release_id)}")
        point_symlink(directory / "live.sock", f"{slot}.sock")
        shown = {os.readlink(directory / f"{s}.release") for s in SLOTS if (directory / f"{s}.release").is_symlink()}
        for old in releases.iterdir():
            if f"releases/{old.name}" not in shown:
                old.rmdir()

    def live_slot(self, deployment_id: int) -> str | None:
        try:
            target = os.readlink(self._dir(deployment_id) / "live.sock")
        except OSError:
            return None
        return target.removesuffix(".sock") if target.removesuffix(".sock") in SLOTS else None

    def unroute(self, deployment_id: int) -> None:
        if self._dir(deployment_id).is_dir():
            point_symlink(self._dir(deployment_id) / "live.sock", "../page.sock")

    def confirm(self, route: Route, release_id: int, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        token = (self.prefix / "conf" / "token").read_text()
        try:
            headers = {"Host": route.hostnames[0], "X-Bakery-Confirm": token, "Connection": "close"}
            connection.request("GET", path, headers=headers)
            return connection.getresponse().headers.get("X-Bakery-Release") == str(release_id)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def connections(self, deployment_id: int, slot: str) -> int:
        path = str(self._dir(deployment_id) / f"{slot}.sock")
        count = 0
        for line in Path("/proc/net/unix").read_text().splitlines():
            fields = line.split(maxsplit=7)
            if len(fields) == 8 and fields[7] == path and fields[5] in IN_USE:
                count += 1
        return count

    def set_state(self, deployment_id: int, name: str, state: str) -> None:
        directory = self._dir(deployment_id)
        if directory.is_dir():
            write_atomically(directory / "state.html", state_page(name, state))

    # How.

    def _listen(self) -> str:
        return str(self.http_port)

    def _dir(self, deployment_id: int) -> Path:
        return self.run / str(int(deployment_id))

    def _main(self) -> Path:
        return self.prefix / "conf" / "nginx.conf"

    def _generation_file(self) -> Path:
        return self.prefix / "conf" / "generation.conf"

    def _make_dir(self, route: Route) -> None:
        directory = self._dir(route.deployment_id)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "releases" / "0").mkdir(parents=True, exist_ok=True)
        for slot in SLOTS:
            if not (directory / f"{slot}.release").is_symlink():
                point_symlink(directory / f"{slot}.release", "releases/0")
        if not (directory / "state.html").exists():
            self.set_state(route.deployment_id, route.name, "never")
        if not (directory / "live.sock").is_symlink():
            self.unroute(route.deployment_id)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with open(self.prefix / "apply.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _replace(self, texts: dict[Path, str | None]) -> None:
        """Write (None: remove) the files and have Nginx take them, or put every one back."""
        before = {path: _text(path) for path in texts}
        number = self._generation() + 1
        before[self._generation_file()] = _text(self._generation_file())
        texts[self._generation_file()] = generation_config(number)
        try:
            _write(texts)
            self._test()
            self._reload(number)
        except BaseException:
            _write(before)
            raise

    def _generation(self) -> int:
        text = _text(self._generation_file()) or ""
        digits = "".join(c for c in text.partition('"')[2] if c.isdigit())
        return int(digits or 0)

    def _test(self) -> None:
        argv = (self.nginx_binary, "-t", "-q", "-p", f"{self.prefix}/", "-c", str(self._main()), "-e", "stderr")
        try:
            self.runner.run(Command(argv, env=self.environment, timeout=60))
        except CommandFailed as failure:
            raise HostProblem(
                "nginx.refused",
                f"Nginx refused the new configuration: {failure.result.output.strip()[-500:]}",
                "The one before it was put back; every site serves as it did.",
            ) from failure

    def _reload(self, number: int) -> None:
        """SIGHUP, then wait until new workers answer and no old one accepts."""
        try:
            master = int((self.prefix / "nginx.pid").read_text())
            old = _accepting_workers(master)
            os.kill(master, signal.SIGHUP)
        except (OSError, ValueError) as error:
            raise HostProblem(
                "nginx.not-running", "Nginx is not running.", "Start Bakery again; its log says why Nginx ended."
            ) from error
        deadline = time.monotonic() + APPLY_SECONDS
        while time.monotonic() < deadline:
            if self._running_generation() == number and not old & _accepting_workers(master):
                return
            time.sleep(0.02)
        raise HostProblem(
            "nginx.not-applied",
            f"Nginx did not take the new configuration within {APPLY_SECONDS:g} s.",
            f"Look into {self.logs_dir / 'nginx-error.log'}; the files before it were put back.",
        )

    def _running_generation(self) -> int | None:
        """What a fresh connection is told by whichever worker accepts it."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(2)
                sock.connect(str(self.run / "control.sock"))
                sock.sendall(b"GET /generation HTTP/1.0\r\n\r\n")
                answer = b""
                while piece := sock.recv(4096):
                    answer += piece
            return int(answer.rpartition(b"\r\n\r\n")[2])
        except (OSError, ValueError):
            return None


def _accepting_workers(master: int) -> set[int]:
    """The master's workers, without those whose title says that they are shutting down."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    found = set()
    for child in children:
        try:
            title = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"worker process" in title and b"shutting down" not in title:
            found.add(int(child))
    return found


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _write(texts: dict[Path, str | None]) -> None:
    for path, text in texts.items():
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, text)
