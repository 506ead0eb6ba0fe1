"""The supervisord configuration of an instance: what runs, as a value and as text."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.postgres import relay
from infrastructure.quickstart.environment_file import Services
from infrastructure.quickstart.layout import Account, Layout
from infrastructure.quickstart.programs import Tools
from infrastructure.systemd.bakery_units import gateway

WANTED_FILES = 65_536
SERVERS = ("postgres", "redis")  # up before anything of Django is asked to do something
BAKERY = ("nginx", "web", "background")
RELAY = "database-relay"


@dataclass(frozen=True)
class Program:
    name: str
    argv: tuple[str, ...]
    directory: Path
    account: Account | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    autostart: bool = False
    priority: int = 100  # started in this order, stopped in the reverse one
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    children_too: bool = True  # signals go to the process group


def programs(
    layout: Layout,
    tools: Tools,
    reached: Services,
    account: Account | None,
    python: Path,
    listen: tuple[str, int],
    *,
    containers: str = "",
) -> list[Program]:
    """``containers``: the subnet of those of a Docker engine that is there."""
    runtime = {"BAKERY_ENV_FILE": str(layout.environment_file), "MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}

    def bakery(name: str, *argv: str, stop_seconds: int = 10) -> Program:
        return Program(name, (str(python), *argv), layout.checkout, env=runtime, stop_seconds=stop_seconds)

    return [
        Program(
            "postgres",
            (str(tools.postgres.bin / "postgres"), "-D", str(layout.postgres)),
            layout.postgres,
            account,
            _libraries(tools.postgres.libraries),
            autostart=True,
            priority=10,
            stop_signal="INT",  # “fast”: ends open sessions, then shuts down cleanly
            stop_seconds=30,
            children_too=False,  # the postmaster tells its children
        ),
        Program(
            "redis",
            (str(tools.redis.path), str(layout.redis / "redis.conf")),
            layout.redis,
            account,
            _libraries(tools.redis.libraries),
            autostart=True,
            priority=10,
        ),
        Program(
            "nginx",
            (
                str(python),
                "-m",
                "infrastructure.nginx.start",
                str(tools.nginx.path),
                str(layout.nginx),
                str(layout.nginx / "conf" / "nginx.conf"),
            ),
            layout.checkout,
            env={**_libraries(tools.nginx.libraries), "BAKERY_ENV_FILE": str(layout.environment_file)},
            priority=20,
            stop_signal="QUIT",
            stop_seconds=5,
            children_too=False,  # a group-wide QUIT would reach workers that the master is already ending
        ),
        bakery("web", "-m", "daphne", "-b", listen[0], "-p", str(listen[1]), "bakery.asgi:application"),
        bakery("background", "-m", "bakery.background"),
        *([_relay(layout, reached, python, containers)] if containers else []),
    ]


def _relay(layout: Layout, reached: Services, python: Path, subnet: str) -> Program:
    """So that applications in containers reach PostgreSQL, which listens at the loopback alone."""
    argv = (str(python), "-I", "-S", relay.__file__, f"{gateway(subnet)}:{reached.postgres_port}")
    target = f"127.0.0.1:{reached.postgres_port}"
    return Program(RELAY, (*argv, target, subnet), layout.data, autostart=True, priority=15)


def _libraries(path: str) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": path} if path else {}


def file_limit() -> int:
    """As many open files as the host lets us have, up to what hundreds of sites need."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)


def section(program: Program, logs: Path) -> str:
    lines = [
        f"[program:{program.name}]",
        f"command={_command(program.argv)}",
        f"directory={_plain(str(program.directory))}",
        f"environment={_environment(program.env)}",
        f"autostart={str(program.autostart).lower()}",
        "autorestart=true",
        "startsecs=2",
        "startretries=30",
        f"priority={program.priority}",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={program.stop_seconds}",
        f"stopasgroup={str(program.children_too).lower()}",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_plain(str(logs / program.name))}.log",
        "stdout_logfile_maxbytes=16MB",
        "stdout_logfile_backups=2",
    ]
    if program.account:
        lines.append(f"user={program.account.name}")
    return "\n".join(line for line in lines if line != "environment=") + "\n"


def configuration(layout: Layout, all_programs: list[Program], *, is_root: bool, files: int) -> str:
    socket, logs = _plain(str(layout.supervisor_socket)), _plain(str(layout.logs))
    head = [
        "; Written by the quickstart at every start.",
        "[unix_http_server]",
        f"file={socket}",
        "chmod=0700",
        "",
        "[supervisord]",
        f"logfile={logs}/supervisord.log",
        "logfile_maxbytes=16MB",
        "logfile_backups=2",
        f"pidfile={_plain(str(layout.supervisord_pid))}",
        f"childlogdir={logs}",
        f"directory={_plain(str(layout.data))}",
        f"minfds={files}",
        "minprocs=64",
        "identifier=bakery",
        *(["user=root"] if is_root else []),
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[supervisorctl]",
        f"serverurl=unix://{socket}",
        "",
        "[include]",
        f"files={_plain(str(layout.conf_d))}/*.ini",
        "",
    ]
    return "\n".join([*head, *(section(program, layout.logs) for program in all_programs)])


def _plain(text: str) -> str:
    """supervisord expands ``%(name)s`` in every value."""
    return text.replace("%", "%%")


def _command(argv: tuple[str, ...]) -> str:
    """supervisord splits with shlex."""
    return " ".join('"' + _plain(part).replace("\\", "\\\\").replace('"', '\\"') + '"' for part in argv)


def _environment(env: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_plain(value)}"' for name, value in env.items())
