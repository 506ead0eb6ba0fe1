"""The Docker engine of this host, reached through its socket; only what carries this instance's label is touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infrastructure.errors import HostProblem

if TYPE_CHECKING:
    import docker  # imported when it is first used: it takes 15 MB, and many hosts have no engine

NETWORK = "bakery"
SECONDS = 60
OLDEST_API, OLDEST_ENGINE = "1.41", "20.10"
# Not “unless-stopped”: an engine that was killed ends, when it starts again, what still runs, and takes that for a stop
# by somebody (moby's killWithSignal): the site would stay down. What Bakery stops is told to stay so, see ``stop``.
KEPT_UP: Any = {"Name": "always"}
KEPT_DOWN: Any = {"Name": "no"}
DEPLOYMENT, RELEASE, SLOT, INSTANCE = "bakery.deployment", "bakery.release", "bakery.slot", "bakery.instance"


@contextmanager
def translated() -> Iterator[None]:
    """The engine's errors as ``HostProblem``s."""
    import docker.errors
    import requests

    try:
        yield
    except docker.errors.APIError as error:
        why = str(error.explanation or error)[:500]
        raise HostProblem("docker.refused", f"Docker refused: {why}", "The engine's own log has more.") from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise HostProblem(
            "docker.unavailable",
            f"No Docker engine answers on this host ({_last(error)}).",
            "Install Docker and let Bakery's user reach its socket, or choose the Bun runtime in the settings.",
        ) from error


def negotiated(engine: str, sdk: str) -> str:
    """The API version to speak: the newest that both know. An engine may have given up what the SDK knows best; it then
    refuses with a message that says so, as it does for any client that is too old for it."""
    if _number(engine) < _number(OLDEST_API):
        raise HostProblem(
            "docker.too-old",
            f"This host's Docker engine speaks API {engine}; Bakery needs {OLDEST_API} (Docker {OLDEST_ENGINE}).",
            "Upgrade Docker, or choose the Bun runtime in the settings.",
        )
    return min(engine, sdk, key=_number)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _last(error: BaseException) -> str:
    """The innermost reason: requests wraps “No such file or directory” four times."""
    text = str(error)
    for reason in ("No such file or directory", "Permission denied", "Connection refused", "timed out"):
        if reason in text:
            return reason.lower()
    return text[:200]


class Engine:
    def __init__(self, instance: str, subnet: str) -> None:
        self.instance = instance
        self.subnet = subnet
        self._local = threading.local()  # a requests session is not to be shared between threads

    @property
    def api(self) -> docker.APIClient:
        if not hasattr(self._local, "api"):
            import docker
            from docker.constants import DEFAULT_DOCKER_API_VERSION
            from docker.utils import kwargs_from_env

            with translated():
                first = docker.APIClient(version=OLDEST_API, timeout=SECONDS, **kwargs_from_env())
                spoken = first.version(api_version=False)["ApiVersion"]
                version = negotiated(str(spoken), DEFAULT_DOCKER_API_VERSION)
                self._local.api = docker.APIClient(version=version, timeout=SECONDS, **kwargs_from_env())
                first.close()
        client: docker.APIClient = self._local.api
        return client

    def ping(self) -> None:
        with translated():
            self.api.ping()

    def labels(self, deployment_id: int, release_id: int | None = None, slot: str = "") -> dict[str, str]:
        labels = {INSTANCE: self.instance, DEPLOYMENT: str(deployment_id)}
        if release_id is not None:
            labels[RELEASE] = str(release_id)
        if slot:
            labels[SLOT] = slot
        return labels

    def filters(self, deployment_id: int) -> dict[str, list[str]]:
        return {"label": [f"{key}={value}" for key, value in self.labels(deployment_id).items()]}

    def container(self, name: str) -> dict[str, Any] | None:
        """What the engine knows of a container of this instance; None: there is none."""
        import docker.errors

        with translated():
            try:
                found: dict[str, Any] = self.api.inspect_container(name)
            except docker.errors.NotFound:
                return None
        if (found["Config"].get("Labels") or {}).get(INSTANCE) != self.instance:
            raise HostProblem(
                "docker.name-taken",
                f"A container named {name} is there that this Bakery did not make.",
                "Remove it, or run one Bakery alone on this engine.",
            )
        return found

    def remove_container(self, name: str) -> None:
        import docker.errors

        if self.container(name) is None:
            return
        with translated():
            try:
                self.api.remove_container(name, force=True, v=True)
            except docker.errors.NotFound:
                return

    def stop(self, name: str, grace_seconds: int) -> None:
        """For good: no restart of the engine or of the host starts it again. Raises the SDK's errors."""
        self.api.update_container(name, restart_policy=KEPT_DOWN)
        self.api.stop(name, timeout=grace_seconds)

    def start_again(self, name: str) -> None:
        self.api.update_container(name, restart_policy=KEPT_UP)
        self.api.start(name)

    def image(self, image: str) -> dict[str, Any] | None:
        import docker.errors

        with translated():
            try:
                found: dict[str, Any] = self.api.inspect_image(image)  # type: ignore[no-untyped-call]
            except docker.errors.NotFound:
                return None
        return found

    def ensure_network(self) -> str:
        """Bakery's own bridge, on which every slot has a fixed address. Containers do not reach each other on it."""
        if (found := self._network()) is None:
            with translated():
                self._create_network()
            found = self._network()
        subnets = [entry.get("Subnet") for entry in (found or {}).get("IPAM", {}).get("Config") or []]
        if self.subnet not in subnets:
            raise HostProblem(
                "docker.network",
                f"The Docker network {NETWORK} has the subnet {', '.join(map(str, subnets))}, not {self.subnet}.",
                "Set BAKERY_DOCKER_SUBNET to it, or remove that network.",
            )
        return NETWORK

    def _network(self) -> dict[str, Any] | None:
        import docker.errors

        with translated():
            try:
                found: dict[str, Any] = self.api.inspect_network(NETWORK)
            except docker.errors.NotFound:
                return None
        return found

    def _create_network(self) -> None:
        import docker.errors
        from docker.types import IPAMConfig, IPAMPool

        try:
            self.api.create_network(
                NETWORK,
                driver="bridge",
                options={"com.docker.network.bridge.enable_icc": "false"},
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=self.subnet)]),
                labels={INSTANCE: self.instance},
                check_duplicate=True,
            )
        except docker.errors.APIError as error:
            if error.status_code == 409:  # another worker was first
                return
            if "overlap" in str(error):
                raise HostProblem(
                    "docker.subnet-taken",
                    f"The subnet {self.subnet} overlaps with another network of this host.",
                    "Set BAKERY_DOCKER_SUBNET to a free one, such as 10.208.0.0/16.",
                ) from error
            raise
