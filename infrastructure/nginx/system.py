"""Puts Bakery into the machine's own Nginx, and takes it out again. For the installer, as root.

What others have there is used, not changed: their files are read, and tested together with ours, before anything of
ours is put in place; what Nginx refuses is not put in place, and what it does not take is taken back.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.files import make_directory, read_if_there, write_atomically
from infrastructure.nginx import start
from infrastructure.nginx.candidate import INCLUDES, no_include
from infrastructure.nginx.config import http_config
from infrastructure.nginx.https_port import decided
from infrastructure.nginx.installed import Installed, read
from infrastructure.nginx.master import APPLY_SECONDS, Master
from infrastructure.nginx.panel import Panel, panel_config, panel_in, panel_names, server_name
from infrastructure.nginx.rendering import render
from infrastructure.nginx.router import NginxRouter, open_files
from infrastructure.nginx.system_prefix import SystemPrefix, system_prefix
from infrastructure.runner import Command, CommandFailed, Runner

__all__ = [
    "Panel",
    "panel_config",
    "panel_names",
    "prepare",
    "remove",
    "remove_default_site",
    "system_router",
]
START_SECONDS = 90.0


def system_router(
    data_dir: Path,
    *,
    logs_dir: Path,
    http_port: int = 80,
    https_port: int = 443,
    panel_port: int = 4100,
    runner: Runner | None = None,
) -> NginxRouter:
    """The ``Router`` of a server: the machine's Nginx, once ``prepare`` has been here."""
    return NginxRouter(
        prefix=system_prefix(data_dir / "nginx"),
        nginx_binary="nginx",
        http_port=http_port,
        https_port=https_port,
        panel_port=panel_port,
        logs_dir=logs_dir,
        runner=runner,
    )


def prepare(
    *,
    data_dir: Path,
    logs_dir: Path,
    panel: Panel,
    http_port: int = 80,
    https_port: int = 443,
    runner: Runner | None = None,
) -> list[str]:
    """Bring the machine's Nginx to serve Bakery's sites and pages; start it if it does not run. May be repeated, and
    mends what is missing. Returns what a person should know (a name of the panel that another site has, say).

    Raises ``HostProblem``: ``nginx.missing``, ``nginx.no-include``, ``nginx.broken``, ``nginx.name-taken``,
    ``nginx.refused``, ``nginx.not-applied``, ``nginx.not-started``. Then everything is as it was.
    """
    runner = runner or Runner()
    router = system_router(data_dir, logs_dir=logs_dir, http_port=http_port, https_port=https_port, runner=runner)
    prefix = _prefix_of(router)
    if not prefix.configuration.exists() or not Path(router.applier.nginx_binary).is_file():
        raise HostProblem("nginx.missing", "Nginx is not installed.", "apt-get install nginx")
    make_directory(data_dir, _open_to_workers(data_dir))
    make_directory(prefix.root, 0o711)
    with router.applier.lock():
        installed = read(prefix, router.applier.nginx_binary, runner)
        if not INCLUDES["conf.d"].search(installed.main):
            raise no_include(prefix.http_part)
        listening, notes = decided(router.listening(), installed, ours=prefix.listen_https.exists())
        names, lost = _names(panel, installed)
        router.make_directories(installed.workers_account())
        make_directory(logs_dir, _open_to_workers(logs_dir))  # they open their log again by its path
        files = open_files()
        _write_unit_part(prefix, files, runner)
        wanted: dict[Path, str | None] = {
            **router.included_files(listening),
            prefix.panel: panel_config(prefix, _with_certificate(prefix, replace(panel, names=names)), listening),
            prefix.http_part: http_config(prefix, installed.hash_sizes()),
            prefix.main_part: installed.main_part(files),
            prefix.configuration: installed.main_with_connections(),
        }
        if pid := router.master.pid():
            _allow_files(pid, files)
            router.applier.replace(wanted)
        else:
            router.applier.start_with(wanted, lambda: _start(router, runner))
    return notes + lost


def remove(*, data_dir: Path, runner: Runner | None = None) -> None:
    """Take Bakery out of the machine's Nginx, which goes on with what others have in it. The files in the data
    directory stay. Raises ``nginx.refused`` or ``nginx.broken`` when Nginx would not do without."""
    runner = runner or Runner()
    router = system_router(data_dir, logs_dir=data_dir / "logs", http_port=80, runner=runner)
    prefix = _prefix_of(router)
    if Path(router.applier.nginx_binary).is_file() and prefix.configuration.exists() and prefix.root.is_dir():
        with router.applier.lock():
            main = read(prefix, router.applier.nginx_binary, runner).main_as_packaged()
            router.applier.write_tested(
                {prefix.http_part: None, prefix.main_part: None, prefix.panel: None, prefix.configuration: main}
            )
            _put_back_default_site(prefix)
            if router.master.pid():
                router.master.hang_up()
                _wait_until_gone(prefix)
    else:
        for path in (prefix.http_part, prefix.main_part):
            path.unlink(missing_ok=True)
    if prefix.unit_part.exists():
        prefix.unit_part.unlink()
        if not any(prefix.unit_part.parent.iterdir()):
            prefix.unit_part.parent.rmdir()
        runner.run(Command(("systemctl", "daemon-reload")), check=False)


def remove_default_site(*, data_dir: Path) -> bool:
    """Take Debian's “Welcome to nginx” out of use, so that unknown hosts get Bakery's page. Only for whoever has just
    installed Nginx: on a machine that had one, it may be somebody's site. Returns whether it was there."""
    prefix = system_prefix(data_dir / "nginx")
    packaged = prefix.etc / "sites-available" / "default"
    if not prefix.default_site.is_symlink() or prefix.default_site.resolve() != packaged:
        return False
    make_directory(data_dir, _open_to_workers(data_dir))
    make_directory(prefix.root, 0o711)
    write_atomically(prefix.default_site_was_ours_to_remove, f"{packaged}\n")
    prefix.default_site.unlink()
    Master(prefix, prefix.error_log).hang_up()
    return True


def _open_to_workers(directory: Path) -> int:
    """Its mode, so that Nginx's workers reach what is theirs below it (and may list nothing)."""
    return (directory.stat().st_mode & 0o7777 if directory.exists() else 0o700) | 0o011


def _put_back_default_site(prefix: SystemPrefix) -> None:
    packaged = read_if_there(prefix.default_site_was_ours_to_remove)
    if packaged and Path(packaged.strip()).exists() and not os.path.lexists(prefix.default_site):
        prefix.default_site.symlink_to(packaged.strip())
        prefix.default_site_was_ours_to_remove.unlink()


def _with_certificate(prefix: SystemPrefix, panel: Panel) -> Panel:
    """The installer knows the machine's names and the port; domains, and what has come to HTTPS since, stay so."""
    text = read_if_there(prefix.panel)
    before = panel_in(text) if text else None
    if not before or panel.certificate:
        return panel
    names = tuple(dict.fromkeys((*panel.names, *before.names)))
    return replace(panel, names=names, certificate=before.certificate, secure=before.secure)


def _names(panel: Panel, installed: Installed) -> tuple[tuple[str, ...], list[str]]:
    """The panel's names without those that another site of this machine has, as long as one is left. If that one is
    taken as well, on the same port, the test of the whole configuration says so (``nginx.name-taken``)."""
    wanted = tuple(server_name(name) for name in panel.names)
    taken = installed.names_taken()
    free = tuple(name for name in wanted if name not in taken)
    if not free:
        return wanted, []
    lost = [name for name in wanted if name in taken]
    return free, [f"{name} is another site's in this machine's Nginx; Bakery leaves it." for name in lost]


def _write_unit_part(prefix: SystemPrefix, files: int, runner: Runner) -> None:
    """What starts Nginx. It does not need Bakery's code: that lies where updates may have broken it."""
    starter = Path(start.__file__).read_text()
    if read_if_there(prefix.starter) != starter:
        write_atomically(prefix.starter, starter)
    unit = render("nginx.service.conf.template", root=prefix.root, files=files)
    if read_if_there(prefix.unit_part) != unit:
        make_directory(prefix.unit_part.parent)
        write_atomically(prefix.unit_part, unit)
        runner.run(Command(("systemctl", "daemon-reload")))
    runner.run(Command(("systemctl", "enable", "--quiet", "nginx.service")))


def _allow_files(master: int, files: int) -> None:
    """What the unit's limit will be from the next start on; a restart now would cost other sites their requests."""
    soft, _ = resource.prlimit(master, resource.RLIMIT_NOFILE)
    if soft < files:
        try:
            resource.prlimit(master, resource.RLIMIT_NOFILE, (files, files))
        except (OSError, ValueError):
            return  # a container without CAP_SYS_RESOURCE: what it has must do


def _start(router: NginxRouter, runner: Runner) -> None:
    try:
        runner.run(Command(("systemctl", "start", "nginx.service"), timeout=START_SECONDS))
    except CommandFailed as failure:
        runner.run(
            Command(("systemctl", "stop", "nginx.service"), timeout=START_SECONDS), check=False
        )  # it would retry
        raise HostProblem(
            "nginx.not-started",
            f"Nginx does not start: {router.master.last_emergency() or failure.message}",
            "journalctl -u nginx says more. Is another web server using its port (ss -tlnp)?",
        ) from failure


def _wait_until_gone(prefix: SystemPrefix) -> None:
    """A reload takes the sockets of servers that are no longer there."""
    deadline = time.monotonic() + APPLY_SECONDS
    while prefix.control_socket.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _prefix_of(router: NginxRouter) -> SystemPrefix:
    if not isinstance(router.prefix, SystemPrefix):
        raise TypeError("This is a private Nginx.")
    return router.prefix
