"""The ``Router`` on one stock Nginx: a vhost file per deployment, and a link for the slot that is live."""

from __future__ import annotations

import functools
import grp
import http.client
import os
import pwd
import re
import resource
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from infrastructure.certificates.names import DIRECTORY_MODE
from infrastructure.errors import HostProblem
from infrastructure.files import make_directory, point_symlink, read_if_there, write_atomically
from infrastructure.nginx import config, pages
from infrastructure.nginx.apply import Applier
from infrastructure.nginx.connections import open_connections
from infrastructure.nginx.edge import name_to_ask, passwords
from infrastructure.nginx.https_port import decided
from infrastructure.nginx.installed import read
from infrastructure.nginx.master import Master
from infrastructure.nginx.panel import Panel, panel_config, panel_in
from infrastructure.nginx.prefix import LONGEST_SOCKET, SLOTS, Prefix
from infrastructure.nginx.rotation import begin, rotate
from infrastructure.nginx.shared_files import shared_files
from infrastructure.nginx.system_prefix import SystemPrefix
from infrastructure.nginx.tls import Listening, https_files
from infrastructure.nginx.version import nginx_version
from infrastructure.routing import Route
from infrastructure.runner import Runner

if TYPE_CHECKING:
    from infrastructure.certificates.store import CertificateStore

OFF = "../off.sock"
NO_RELEASE = "0"
CONFIRM_SECONDS = 5.0
CAP_SYS_RESOURCE = 24  # capabilities(7), linux/capability.h


class NginxRouter:
    """``prefix`` is Nginx's own directory, or says where the parts of the machine's own Nginx lie; ``libraries`` the
    LD_LIBRARY_PATH of an Nginx that was unpacked by hand."""

    def __init__(
        self,
        *,
        prefix: Path | Prefix,
        nginx_binary: str,
        http_port: int,
        https_port: int,
        logs_dir: Path,
        panel_port: int = 4100,
        libraries: str = "",
        runner: Runner | None = None,
    ) -> None:
        self.prefix = Prefix(prefix) if isinstance(prefix, Path) else prefix
        self.http_port = http_port
        self.https_port = https_port
        self.panel_port = panel_port
        self.logs_dir = logs_dir
        self.master = Master(self.prefix, self.prefix.error_log or logs_dir / "nginx-error.log")
        environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
        binary = shutil.which(nginx_binary, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or nginx_binary
        self.applier = Applier(self.prefix, binary, self.master, environment, runner or Runner())
        longest = len(os.fsencode(self.prefix.socket(9_999_999, "green")))
        if longest > LONGEST_SOCKET:
            raise HostProblem(
                "path.too-long",
                f"{self.prefix.root} is too long a path for the sockets in it ({longest} of {LONGEST_SOCKET} bytes).",
                "Choose a data directory with a shorter path.",
            )

    @property
    def access_log(self) -> Path:
        """Of all sites."""
        return self.logs_dir / "access.json"

    @property
    def certificates(self) -> CertificateStore:
        """Read by Nginx's workers, as whose group they have been given ``run/``."""
        from infrastructure.certificates.store import CertificateStore  # the installer has no library that it needs

        run = self.prefix.run
        return CertificateStore(self.prefix.certificates, run.stat().st_gid if run.exists() else None)

    @property
    def acme_root(self) -> Path:
        return self.prefix.acme

    def prepare(self, user: str | None) -> None:
        """Write the main file of a private instance and what belongs to it, before Nginx is started; sites and routes
        stay as they are. ``user``: whom the workers run as, when the master is root."""
        prefix = self.prefix
        account = pwd.getpwnam(user) if user else None
        self.make_directories(account)
        prefix.temp.mkdir(parents=True, exist_ok=True)
        group = grp.getgrgid(account.pw_gid).gr_name if account else ""
        files = open_files()
        text = config.base_config(
            prefix,
            logs=self.logs_dir,
            user=f"{account.pw_name} {group}" if account else "",
            files=files,
            connections=min(8192, files),
        )
        write_atomically(prefix.configuration, text, 0o600)
        listening = self.listening()
        shared = self.included_files(listening)
        if panel := read_if_there(prefix.panel):
            shared[prefix.panel] = panel_config(prefix, panel_in(panel), listening)
        for path, part in shared.items():
            write_atomically(path, part)

    def make_directories(self, workers: pwd.struct_passwd | None) -> None:
        """What has to be there before Nginx reads its configuration, with Bakery's pages for no site at all.
        ``workers``: their account, where the master is root."""
        prefix = self.prefix
        for folder in (prefix.conf, prefix.sites, prefix.pages, self.logs_dir):
            folder.mkdir(parents=True, exist_ok=True)
        prefix.pages.chmod(0o755)
        make_directory(prefix.control, 0o700)
        # Nobody but Nginx's workers may speak to a slot directly: there, X-Forwarded-For is believed.
        make_directory(prefix.run, 0o710)
        if workers:
            os.chown(prefix.run, 0, workers.pw_gid)
        make_directory(prefix.acme)
        # It has to be there: the units of Bakery's web process hide it.
        make_directory(prefix.certificates, DIRECTORY_MODE, workers.pw_gid if workers else None)
        make_directory(prefix.written, 0o700)
        begin(self.access_log, workers.pw_uid if workers else os.geteuid(), self.logs_dir.stat().st_gid)
        for name, page in pages.of_no_site().items():
            write_atomically(prefix.pages / name, page)
        if not prefix.generation.exists():
            write_atomically(prefix.generation, config.generation_config(1))

    @functools.cached_property
    def version(self) -> tuple[int, ...]:
        return nginx_version(self.applier.nginx_binary, self.applier.environment, self.applier.runner)

    def listening(self) -> Listening:
        return Listening(self.http_port, self.https_port, self.version, ipv6=has_ipv6())

    def included_files(self, listening: Listening) -> dict[Path, str]:
        """What Bakery's servers have in common."""
        return {
            self.prefix.listen: config.listen_config(self.prefix, http_port=self.http_port, ipv6=listening.ipv6),
            self.prefix.settings: config.settings_config(),
            **https_files(self.prefix, listening),
        }

    def listening_now(self) -> Listening:
        """As was decided when Bakery moved in, or by a version of it that knew of HTTPS."""
        listening, said = self.listening(), read_if_there(self.prefix.listen_https)
        if not isinstance(self.prefix, SystemPrefix):
            return listening
        if said is None and self.prefix.http_part.exists():
            installed = read(self.prefix, self.applier.nginx_binary, self.applier.runner)
            return decided(listening, installed, ours=False)[0]
        return replace(listening, https=said is not None, http2="http2" in (said or ""))

    def apply(self, routes: list[Route]) -> None:
        prefix = self.prefix
        with self.applier.lock():
            listening = self.listening_now()
            sites = {
                prefix.site(route.deployment_id): config.site_config(
                    prefix, route, logs=self.logs_dir, listening=listening
                )
                for route in routes
            }
            pools = {prefix.pools(route.deployment_id): config.pools_config(route) for route in routes}
            for route in routes:
                self._make_directory(route)
            self.applier.replace({**shared_files(prefix, listening), **sites}, can_wait=pools)
            for route in routes:
                self._forget_passwords(route)

    def apply_panel(self, names: tuple[str, ...], certificate: str = "") -> None:
        prefix = self.prefix
        installed = self.certificates.current(certificate) if certificate else None
        secure = tuple(name for name in names if installed and installed.covers(name))
        panel = Panel(names, self.panel_port, certificate, secure)
        with self.applier.lock():
            listening = self.listening_now()
            text = panel_config(prefix, panel, listening) if names else None
            self.applier.replace({**shared_files(prefix, listening), prefix.panel: text})

    def remove(self, deployment_id: int) -> None:
        number = config.deployment_id(deployment_id)
        with self.applier.lock():
            self.applier.replace({self.prefix.site(number): None, self.prefix.pools(number): None})
            shutil.rmtree(self.prefix.of(number), ignore_errors=True)

    def switch(self, deployment_id: int, slot: str, release_id: int) -> None:
        number, release = config.deployment_id(deployment_id), int(release_id)
        if slot not in SLOTS:
            raise ValueError(f"There is no slot {slot!r}.")
        # First the name of the release, then the way to it: no request is logged under the wrong one.
        self._name(number, slot, str(release), self._named(number, slot)[1])
        point_symlink(self.prefix.live(number), f"{slot}.sock")
        self._forget_releases(number)

    def live_slot(self, deployment_id: int) -> str | None:
        try:
            target = str(self.prefix.live(deployment_id).readlink())
        except OSError:
            return None
        return {f"{slot}.sock": slot for slot in SLOTS}.get(target)

    def unroute(self, deployment_id: int) -> None:
        if self.prefix.of(deployment_id).is_dir():
            point_symlink(self.prefix.live(deployment_id), OFF)

    def confirm(self, route: Route, release_id: int, path: str) -> bool:
        """Asks the same server block as visitors do, over a socket of Bakery's own on which it names the release."""
        connection = _OverSocket(self.prefix.edge_socket, CONFIRM_SECONDS)
        try:
            host = name_to_ask(route)
            connection.request(
                "GET", path or "/", headers={"Host": host, "Connection": "close", "User-Agent": "Bakery"}
            )
            headers = connection.getresponse().headers
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        own_page = headers.get("X-Bakery-Page")  # the slot answered in the place of its app
        return headers.get("X-Bakery-Release") == str(int(release_id)) and own_page is None

    def connections(self, deployment_id: int, slot: str) -> int:
        return open_connections(self.prefix.socket(deployment_id, slot))

    def rotate_logs(self) -> list[Path]:
        """Begin new log files where the old ones have grown large; returns those."""
        logs = [self.access_log]
        if not self.prefix.error_log:  # the package of the machine's Nginx rotates its own
            logs.append(self.logs_dir / "nginx-error.log")
        return rotate(logs, self.master)

    def set_state(self, deployment_id: int, name: str, state: str) -> None:
        folder = self.prefix.deployment_pages(config.deployment_id(deployment_id))
        if not folder.is_dir():
            return
        for status in pages.STATUSES:
            path, text = folder / f"{status}.html", pages.state_page(name, state, status)
            if read_if_there(path) != text:
                write_atomically(path, text)

    def _make_directory(self, route: Route) -> None:
        number = config.deployment_id(route.deployment_id)
        for folder in (
            self.prefix.of(number),
            self.prefix.deployment_pages(number),
            self.prefix.releases(number),
        ):
            make_directory(folder)
        for slot in SLOTS:
            release, address = self._named(number, slot)
            if not release or address != config.upstream_of(route, slot):
                self._name(number, slot, release or NO_RELEASE, config.upstream_of(route, slot))
        for name, page in pages.of_settings(route.name).items():
            path = self.prefix.deployment_pages(number) / name
            if read_if_there(path) != page:
                write_atomically(path, page)
        for path, line in passwords(self.prefix, route).items():
            if not path.exists():
                write_atomically(path, line, 0o640, self.prefix.run.stat().st_gid)
        if not (self.prefix.deployment_pages(number) / "503.html").exists():
            self.set_state(number, route.name, "never")
        if not self.prefix.live(number).is_symlink():
            self.unroute(number)

    def _forget_passwords(self, route: Route) -> None:
        named = passwords(self.prefix, route)
        for path in self.prefix.of(route.deployment_id).glob("password-*"):
            if path not in named:
                path.unlink()

    def _named(self, number: int, slot: str) -> tuple[str, str]:
        """The release that is in the slot and the address of its app, each "" where none is known."""
        try:
            name = self.prefix.release_link(number, slot).readlink().name
        except OSError:
            return "", ""
        release, _, address = name.partition("@")
        return release, address

    def _name(self, number: int, slot: str, release: str, address: str) -> None:
        name = f"{release}@{address}" if address else release
        make_directory(self.prefix.releases(number) / name)
        point_symlink(self.prefix.release_link(number, slot), f"releases/{name}")

    def _forget_releases(self, number: int) -> None:
        """Take away the directories that no slot names."""
        named = {self.prefix.release_link(number, slot).readlink().name for slot in SLOTS}
        for folder in self.prefix.releases(number).iterdir():
            if folder.name not in named:
                folder.rmdir()


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def open_files() -> int:
    """As many as Nginx's workers may have: without CAP_SYS_RESOURCE nobody gets beyond the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    may_raise = effective is not None and int(effective[1], 16) >> CAP_SYS_RESOURCE & 1
    return config.OPEN_FILES if may_raise or hard == resource.RLIM_INFINITY else min(config.OPEN_FILES, hard)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True
