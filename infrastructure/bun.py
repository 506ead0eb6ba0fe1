"""Runs repositories without a Dockerfile: built by Bun, run by Bun, kept running by the host's process manager.

``builds/<deployment>/`` belongs to Bakery and may be entered by the deployment's uid alone. In it lie
``<release>/``, a checkout that becomes the artifact, ``cache/``, its HOME and Bun's download cache, and ``bin/``,
where scripts find Bun under its name, whatever the host calls it.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from infrastructure.bun_build import check_start, has_lock_file, read_package, start_argv, steps
from infrastructure.confinement import Confinement, Launch, Units, confinement_for, instance_of, uid_for
from infrastructure.disk import MEBIBYTE, DiskWatch, disk_usage
from infrastructure.errors import HostProblem, Problem
from infrastructure.files import point_symlink
from infrastructure.git import base_directory
from infrastructure.network import network_environment
from infrastructure.processes import Processes, Program
from infrastructure.runner import SAFE_PATH, Command, CommandFailed, LogSink, Runner, TimedOut
from infrastructure.runtime import App, Build, Built, Limits, Observation
from infrastructure.secret import Secret
from infrastructure.trees import make_owned, make_private, remove_tree

SLOTS = ("blue", "green")
TAIL_BYTES = 64 * 1024
ONCE_SECONDS = 600.0


class BunRuntime:
    """``units``: where commands of users become units of their own (builds, commands before the switch)."""

    def __init__(
        self,
        *,
        binary: str,
        data_dir: Path,
        logs_dir: Path,
        builds_dir: Path,
        processes: Processes,
        units: Units | None = None,
    ) -> None:
        self.binary = binary
        self.builds = builds_dir
        self.persistent = data_dir / "persistent"
        self.logs = logs_dir / "processes"
        self.processes = processes
        self.units = units
        self.instance = instance_of(data_dir)

    def available(self) -> None:
        self._binary()
        self.processes.available()

    def build(self, build: Build, runner: Runner, log: LogSink) -> Built:
        directory = base_directory(build.source, build.base_directory)
        package = read_package(directory)
        check_start(package, build.start_command)
        locked = has_lock_file(directory, build.source.resolve())
        plan = steps(self._bun(build.deployment_id), package, locked=locked, build_command=build.build_command)
        deadline = time.monotonic() + build.limits.timeout
        self._make_room_in_cache(build, log)
        places = (build.source, self._cache(build.deployment_id))
        with DiskWatch("The build", places, build.limits.disk_mb) as watch:
            for step in plan:
                log(f"$ {step.shown}\n".encode())
                defaults = {"NODE_ENV": "production"} if step.production else {}
                command = Command(
                    argv=step.argv,
                    cwd=directory,
                    env={**self._environment(build.deployment_id), **network_environment(), **defaults, **build.env},
                    timeout=max(1.0, deadline - time.monotonic()),
                    confine=self._confine(
                        build.deployment_id, f"build-{build.release_id}", build.limits, build.source, nice=5
                    ),
                    watch=watch,
                )
                _run_step(runner, command, step.shown, log, build.limits, watch)
        return Built(artifact=str(build.source))

    def _make_room_in_cache(self, build: Build, log: LogSink) -> None:
        """Bun's downloads grow with every version of a dependency, and count for the build's disk limit."""
        cache = self._cache(build.deployment_id)
        if build.limits.disk_mb and disk_usage((cache,)) > build.limits.disk_mb * MEBIBYTE // 2:
            log(b"The cache of downloads takes half of what a build may write; it is emptied.\n")
            remove_tree(cache)

    def has_artifact(self, artifact: str) -> bool:
        return self._is_ours(Path(artifact)) and Path(artifact).is_dir()

    def remove_artifact(self, artifact: str) -> None:
        if self._is_ours(Path(artifact)):
            remove_tree(Path(artifact))

    def upstream(self, app: App) -> str:
        return f"127.0.0.1:{app.port}"

    def start(self, app: App, runner: Runner) -> None:
        self.logs.mkdir(parents=True, exist_ok=True, mode=0o700)  # the installer may have given it to a group
        command = self._app_command(
            app, start_argv(self._bun(app.deployment_id), app.start_command), f"{app.deployment_id}-{app.slot}"
        )
        assert command.confine is not None  # noqa: S101 - _app_command gives one
        launch = Launch(
            argv=command.argv,
            env=command.environment(),
            confinement=command.confine,
            cwd=command.cwd,
            links=command.links,
            release_id=app.release_id,
        )
        log = self.logs / f"release-{app.release_id}.log"
        self.processes.start(Program(_name(app.deployment_id, app.slot), launch, log, app.grace_seconds))

    def stop(self, deployment_id: int, slot: str, grace_seconds: int) -> None:
        self.processes.stop(_name(deployment_id, slot), grace_seconds)

    def observe(self, deployment_id: int, slot: str) -> Observation:
        return self.processes.observe(_name(deployment_id, slot))

    def run_once(self, app: App, command: str, runner: Runner, log: LogSink) -> None:
        plan = self._app_command(app, (self._bun(app.deployment_id), "exec", command), f"once-{app.release_id}")
        with DiskWatch("The command", (Path(app.artifact),)) as watch:
            runner.run(replace(plan, watch=watch), log)

    def last_output(self, deployment_id: int, slot: str, lines: int = 40) -> str:
        log = self.processes.log_of(_name(deployment_id, slot))
        if log is None or not log.exists():
            return ""
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def remove_deployment(self, deployment_id: int) -> None:
        for slot in SLOTS:
            self.stop(deployment_id, slot, 1)
        remove_tree(self.builds / str(deployment_id))

    def tidy(self, budget_bytes: int) -> int:
        return 0  # a deployment's download cache goes with the deployment

    def _app_command(self, app: App, argv: tuple[str, ...], what: str) -> Command:
        if not self.has_artifact(app.artifact):
            raise Problem("release.no-artifact", "What was built for this release is no longer there.", "Deploy again.")
        directory = base_directory(Path(app.artifact), app.base_directory)
        self._make_persistent(app)
        loopback = {"HOST": "127.0.0.1", "HOSTNAME": "127.0.0.1"}  # the names by which frameworks ask where to listen
        env: dict[str, str | Secret] = {
            **self._environment(app.deployment_id),
            **network_environment(),
            **loopback,
            "NODE_ENV": "production",
            **app.env,
            "PORT": str(app.port),
        }
        return Command(
            argv=argv,
            cwd=directory,
            env=env,
            timeout=app.limits.timeout or ONCE_SECONDS,
            confine=self._confine(
                app.deployment_id, what, app.limits, Path(app.artifact), self.persistent / str(app.deployment_id)
            ),
            links={str(directory / inside): str(outside) for inside, outside in app.persistent.items()},
        )

    def _make_persistent(self, app: App) -> None:
        """The deployment's own room; the directories in it are made with the deployment's own rights."""
        self.persistent.mkdir(parents=True, exist_ok=True)
        make_owned(self.persistent / str(app.deployment_id), uid_for(app.deployment_id))

    def _environment(self, deployment_id: int) -> dict[str, str | Secret]:
        home = self._cache(deployment_id)
        path = f"{Path(self._bun(deployment_id)).parent}:{SAFE_PATH}"
        return {"HOME": str(home), "BUN_INSTALL_CACHE_DIR": str(home / "install"), "PATH": path}

    def _cache(self, deployment_id: int) -> Path:
        uid = uid_for(deployment_id)
        return make_owned(make_private(self.builds / str(deployment_id), uid) / "cache", uid)

    def _confine(
        self, deployment_id: int, what: str, limits: Limits, directory: Path, *more: Path, nice: int = 0
    ) -> Confinement:
        reach = [directory, self._cache(deployment_id), Path(self._bun(deployment_id)).parent, self._binary(), *more]
        return confinement_for(
            deployment_id,
            f"{self.instance}-{what}",
            reach=tuple(str(path) for path in reach),
            units=self.units,
            memory_bytes=limits.memory_mb * MEBIBYTE,
            cpu_percent=limits.cpu_percent,
            max_processes=limits.max_processes,
            nice=nice,
            file_size_bytes=limits.disk_mb * MEBIBYTE or None,
        )

    def _bun(self, deployment_id: int) -> str:
        names = make_private(self.builds / str(deployment_id) / "bin", uid_for(deployment_id))
        for name in ("bun", "bunx"):
            if not (names / name).exists() or (names / name).resolve() != self._binary():
                point_symlink(names / name, str(self._binary()))
        return str(names / "bun")

    def _binary(self) -> Path:
        found = shutil.which(self.binary)
        if found is None:
            raise HostProblem(
                "bun.missing", f"Bun is not on this host ({self.binary}).", "Install it, and name it in BAKERY_BUN."
            )
        return Path(found).resolve()

    def _is_ours(self, artifact: Path) -> bool:
        """Whether it is ``builds/<number>/<number>``: nothing else is ever removed."""
        numbers = (artifact.parent.name, artifact.name)
        return artifact.parent.parent == self.builds and all(name.isdigit() for name in numbers)


def _name(deployment_id: int, slot: str) -> str:
    return f"bakery-deployment-{deployment_id}-{slot}"


def _run_step(runner: Runner, command: Command, shown: str, log: LogSink, limits: Limits, watch: DiskWatch) -> None:
    try:
        runner.run(command, log)
    except TimedOut as late:
        raise Problem(
            "build.timed-out",
            f"The build was still running after {limits.timeout:g} s, in “{shown}”, and was ended.",
            "Make it quicker, or raise the build's time limit in the settings.",
        ) from late
    except CommandFailed as failure:
        watch.measure()
        watch()  # it may have failed because it could not write on
        raise _explain(failure, shown, limits) from failure


def _explain(failure: CommandFailed, shown: str, limits: Limits) -> Problem:
    result = failure.result
    if result.out_of_memory:
        return Problem(
            "build.out-of-memory",
            f"“{shown}” used more than the {limits.memory_mb} MiB that a build may use, and was ended.",
            "Raise the build's memory limit in the settings.",
        )
    if "lockfile is frozen" in result.output:
        return Problem(
            "build.lock-file",
            "The lock file does not match package.json.",
            "Run bun install, commit the lock file and push again.",
        )
    return Problem(
        "build.failed",
        f"“{shown}” ended with exit code {result.exit_code}.",
        "Its output stands above this line in the build log.",
    )
