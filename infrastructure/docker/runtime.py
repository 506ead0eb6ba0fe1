"""Runs repositories with a Dockerfile: an image per release, a container per slot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from infrastructure import cgroups
from infrastructure.confinement import instance_of, uid_for
from infrastructure.disk import DiskWatch
from infrastructure.docker import containers
from infrastructure.docker.build import (
    DEFAULT_PORT,
    ImageBuild,
    exposed_port,
    read_dockerfile,
    withheld,
)
from infrastructure.docker.client import client, client_environment
from infrastructure.docker.engine import INSTANCE, KEPT_DOWN, KEPT_UP, RELEASE, Engine, translated
from infrastructure.docker.leftovers import Leftovers
from infrastructure.errors import HostProblem, Problem
from infrastructure.git import base_directory
from infrastructure.runner import SAFE_PATH, Command, CommandFailed, LogSink, Runner, TimedOut
from infrastructure.runtime import App, Build, Built, Limits, Observation, ProcessState
from infrastructure.trees import make_owned

STATES = {
    "created": ProcessState.STARTING,
    "running": ProcessState.RUNNING,
    "paused": ProcessState.RUNNING,
    "restarting": ProcessState.STARTING,
    "removing": ProcessState.STOPPED,
    # Under “always” a container that ends by itself is restarted: one that stays down was stopped.
    "exited": ProcessState.STOPPED,
    "dead": ProcessState.EXITED,
}
ONCE_SECONDS = 600.0
BUILDKIT_IN_GROUPS = 23  # major version of the engine since which BuildKit takes --cgroup-parent; before, it is ignored
KILLED = re.compile(r"(exit code:? 137|non-zero code: 137)")


class DockerRuntime:
    """``publish``: "bridge" reaches containers at their slot's fixed address, "loopback" at a published port.
    ``clients``: a PATH, in which the program docker is looked for."""

    def __init__(self, *, data_dir: Path, subnet: str, publish: str, clients: str = SAFE_PATH) -> None:
        self.persistent = data_dir / "persistent"
        self.publish = publish
        self.clients = clients
        self.leftovers = Leftovers(data_dir / "docker-leftovers.json")
        self.engine = Engine(instance_of(data_dir), subnet)

    def available(self) -> None:
        self.engine.ping()
        client(self.clients)

    def build(self, build: Build, runner: Runner, log: LogSink) -> Built:
        self.available()
        directory = base_directory(build.source, build.base_directory)
        read_dockerfile(directory)
        for name in withheld(build.env, directory):
            log(f"{name} is no build argument that Bakery can give; write it into the Dockerfile.\n".encode())
        with translated():
            about: dict[str, Any] = self.engine.api.info()
        group = f"{self.engine.instance}-image-{build.release_id}"
        parent = _group_for(group, build.limits, about)
        found = client(self.clients)
        plan = ImageBuild(
            directory=directory,
            tag=f"bakery/deployment-{build.deployment_id}:release-{build.release_id}",
            labels=self.engine.labels(build.deployment_id, build.release_id),
            env=build.env,
            limits=build.limits,
            cgroup_parent=parent,
            client=replace(found, buildkit=found.buildkit and bool(parent) and buildkit_keeps_limits(about)),
        )
        try:
            with (
                self.leftovers.of_build(self.engine, buildkit=plan.client.buildkit) as hear,
                DiskWatch("The image's build", (_root(about, build.source),)) as watch,
            ):

                def both(data: bytes) -> None:
                    hear(data)
                    log(data)

                runner.run(replace(plan.command(build.limits.timeout), watch=watch), both)
        except TimedOut as late:
            raise Problem(
                "build.timed-out",
                f"The image was still being built after {build.limits.timeout:g} s, and the build was ended.",
                "Make it quicker, or raise the build's time limit in the settings.",
            ) from late
        except CommandFailed as failure:
            raise _explain(failure, build.limits, ran_out=cgroups.oom_kills(group) > 0) from failure
        finally:
            cgroups.end(group)
        image = self.engine.image(plan.tag)
        if image is None:
            raise HostProblem("docker.image-gone", f"The image {plan.tag} vanished once it was built.", "Deploy again.")
        port = build.container_port or exposed_port(image.get("Config") or {})
        return Built(artifact=image["Id"], container_port=port)

    def has_artifact(self, artifact: str) -> bool:
        return self.engine.image(artifact) is not None

    def remove_artifact(self, artifact: str) -> None:
        """The image, and the stopped containers that were made of it; one that still runs keeps it."""
        import docker.errors

        image = self.engine.image(artifact)
        if image is None or ((image.get("Config") or {}).get("Labels") or {}).get(INSTANCE) != self.engine.instance:
            return
        with translated():
            made_of_it = self.engine.api.containers(
                all=True, filters={"ancestor": artifact, "status": ["exited", "created", "dead"]}
            )
        for container in made_of_it:
            self.engine.remove_container(container["Id"])
        with translated():
            try:
                self.engine.api.remove_image(artifact, force=True)
            except docker.errors.NotFound:
                return

    def upstream(self, app: App) -> str:
        if self.publish == "loopback":
            return f"127.0.0.1:{app.port}"
        return f"{app.address}:{app.container_port or DEFAULT_PORT}"

    def start(self, app: App, runner: Runner) -> None:
        name = containers.container_name(app.deployment_id, app.slot)
        self.stop(app.deployment_id, app.slot, app.grace_seconds)
        self.engine.remove_container(name)
        self._create(app, name, app.start_command, in_slot=True)
        self._start(name)

    def stop(self, deployment_id: int, slot: str, grace_seconds: int) -> None:
        """The stopped container stays until the next one needs its place: its log can still be read, and no restart of
        the engine starts it again."""
        import docker.errors

        name = containers.container_name(deployment_id, slot)
        found = self.engine.container(name)
        if found is None:
            return
        runs = found["State"]["Running"] or found["State"]["Restarting"]
        # One that could not be started would be tried again by an engine that is restarted.
        if not runs and found["HostConfig"]["RestartPolicy"]["Name"] == KEPT_DOWN["Name"]:
            return
        with translated():
            try:
                self.engine.stop(name, grace_seconds)
            except docker.errors.NotFound:
                return

    def observe(self, deployment_id: int, slot: str) -> Observation:
        found = self.engine.container(containers.container_name(deployment_id, slot))
        if found is None:
            return Observation(ProcessState.MISSING)
        state: dict[str, Any] = found["State"]
        release = (found["Config"].get("Labels") or {}).get(RELEASE)
        never_started = state["Status"] == "created" and state["Error"]
        return Observation(
            state=ProcessState.EXITED if never_started else STATES.get(state["Status"], ProcessState.EXITED),
            release_id=int(release) if release else None,
            exit_code=None if state["Status"] in ("running", "created") else state["ExitCode"],
            out_of_memory=bool(state["OOMKilled"]),
            restarts=found["RestartCount"],
            started_at=state["StartedAt"],
        )

    def run_once(self, app: App, command: str, runner: Runner, log: LogSink) -> None:
        name = f"bakery-deployment-{app.deployment_id}-once-{app.release_id}"
        self.engine.remove_container(name)
        try:
            self._create(app, name, command, in_slot=False)
            attach = Command(
                argv=(client(self.clients).path, "start", "--attach", "--", name),
                env=client_environment(),
                timeout=app.limits.timeout or ONCE_SECONDS,
            )
            runner.run(attach, log)
        finally:
            self.engine.remove_container(name)

    def last_output(self, deployment_id: int, slot: str, lines: int = 40) -> str:
        name = containers.container_name(deployment_id, slot)
        if self.engine.container(name) is None:
            return ""
        with translated():
            output: bytes = self.engine.api.logs(name, stdout=True, stderr=True, tail=lines)
        return output.decode("utf-8", "replace").rstrip("\n")

    def remove_deployment(self, deployment_id: int) -> None:
        try:
            self.engine.ping()
        except HostProblem:
            return  # without an engine nothing can be there: a running container would have been stopped before
        filters = self.engine.filters(deployment_id)
        with translated():
            for container in self.engine.api.containers(all=True, filters=filters):
                self.engine.remove_container(container["Id"])
            for volume in self.engine.api.volumes(filters=filters)["Volumes"] or []:
                self.engine.api.remove_volume(volume["Name"])
            for image in self.engine.api.images(filters=filters):
                self.engine.api.remove_image(image["Id"], force=True)

    def tidy(self, budget_bytes: int) -> int:
        return self.leftovers.trim(self.engine, budget_bytes)

    def _create(self, app: App, name: str, command: str, *, in_slot: bool) -> None:
        image = self.engine.image(app.artifact)
        if image is None:
            raise Problem("release.no-artifact", "The image of this release is no longer there.", "Deploy again.")
        port = app.container_port or DEFAULT_PORT
        network = self.engine.ensure_network()
        mounted = containers.volumes(app, (image.get("Config") or {}).get("WorkingDir", ""))
        for volume in mounted:
            self._ensure_volume(app.deployment_id, volume)
        api = self.engine.api
        ports = containers.published(app, port, self.publish) if in_slot else None
        fixed = app.address if in_slot and self.publish == "bridge" else None
        endpoints: Any = {network: api.create_endpoint_config(ipv4_address=fixed)}  # the stubs have its type wrong
        with translated():
            api.create_container(
                app.artifact,
                command=containers.words(command),
                name=name,
                environment=containers.environment(app, port),
                labels=self.engine.labels(app.deployment_id, app.release_id, app.slot if in_slot else "once"),
                ports=[port] if ports else None,
                host_config=api.create_host_config(
                    binds=[f"{volume.name}:{volume.path}" for volume in mounted],
                    port_bindings=ports,
                    network_mode=network,
                    restart_policy=KEPT_UP if in_slot else None,
                    **containers.limits(app),
                ),
                networking_config=api.create_networking_config(endpoints),
            )

    def _start(self, name: str) -> None:
        import docker.errors

        with translated():
            try:
                self.engine.api.start(name)
            except docker.errors.APIError as error:
                why = str(error.explanation or error)
                if "Address already in use" in why or "port is already allocated" in why:
                    raise HostProblem(
                        "docker.address-taken",
                        f"The slot's address is used by another container: {why[:300]}",
                        "Remove that container, or set BAKERY_DOCKER_SUBNET to a subnet of Bakery's own.",
                    ) from error
                raise Problem(
                    "app.cannot-start",
                    f"The container could not start: {why[:400]}",
                    "Correct the start command in the settings, or CMD in the Dockerfile.",
                ) from error

    def _ensure_volume(self, deployment_id: int, volume: containers.Volume) -> None:
        import docker.errors

        root = self.persistent / str(deployment_id)
        self.persistent.mkdir(parents=True, exist_ok=True)
        make_owned(root, uid_for(deployment_id))
        leaf = root
        for part in Path(volume.directory).relative_to(root).parts:
            leaf /= part
            if leaf.is_symlink():
                raise Problem("app.persistent", f"{leaf.name} in the persistent directory is a symlink.", "Remove it.")
            leaf.mkdir(exist_ok=True)
        # Whoever the image's user is may write; nobody else on the host gets past ``root``.
        leaf.chmod(0o777)
        options = {"type": "none", "o": "bind", "device": volume.directory}
        with translated():
            try:
                if self.engine.api.inspect_volume(volume.name)["Options"] == options:
                    return
                self.engine.api.remove_volume(volume.name)  # the data directory has moved
            except docker.errors.NotFound:
                pass
            self.engine.api.create_volume(volume.name, "local", options, labels=self.engine.labels(deployment_id))


def _group_for(group: str, limits: Limits, engine: Mapping[str, Any]) -> str:
    """A control group with the build's limits, for which BuildKit has no options; "": the engine takes none."""
    if engine.get("CgroupDriver") != "cgroupfs":
        return ""
    made = cgroups.create(group, limits.memory_mb * 1024 * 1024, limits.cpu_percent, limits.max_processes)
    return f"/{cgroups.OURS}/{group}" if made else ""


def buildkit_keeps_limits(engine: Mapping[str, Any]) -> bool:
    """Whether BuildKit of this engine builds in the control group that it is told. The classic builder has limits of
    its own; a build without any could take the sites down."""
    major = str(engine.get("ServerVersion", "")).partition(".")[0]
    return major.isdigit() and int(major) >= BUILDKIT_IN_GROUPS


def _root(engine: Mapping[str, Any], otherwise: Path) -> Path:
    """Where the engine keeps what builds write, when it is of this host. It has no limits for single builds, so the
    free space there is watched."""
    root = Path(str(engine.get("DockerRootDir", "")))
    return root if root.is_absolute() and root.is_dir() else otherwise


def _explain(failure: CommandFailed, limits: Limits, *, ran_out: bool) -> Problem:
    if ran_out or KILLED.search(failure.result.output):
        return Problem(
            "build.out-of-memory",
            f"The image's build used more than the {limits.memory_mb} MiB that a build may use, and was ended.",
            "Raise the build's memory limit in the settings.",
        )
    last = (failure.result.output.strip().splitlines() or ["no output"])[-1][:300]
    return Problem("build.failed", f"The image could not be built: {last}", "Its output stands in the build log.")
