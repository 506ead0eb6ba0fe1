"""The host of this instance: the adapters, made once from the settings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings

from deployments.models import Deployment, Slot, SlotName
from infrastructure.confinement import Units
from infrastructure.routing import Route, Router
from infrastructure.runtime import Runtime


@cache
def runtimes() -> dict[str, Runtime]:
    """By name: ``docker`` and ``bun``."""
    from infrastructure.runtimes import make_runtimes

    bakery = settings.BAKERY
    return make_runtimes(
        data_dir=bakery.data_dir,
        logs_dir=bakery.logs_dir,
        builds_dir=bakery.builds_dir,
        bun_binary=bakery.bun_binary,
        supervisor_url=bakery.supervisor_url,
        processes=bakery.processes,
        docker_subnet=bakery.docker_subnet,
        docker_publish=bakery.docker_publish,
        install_dir=bakery.install_dir,
    )


@cache
def units() -> Units | None:
    """What runs git in units of its own; None: this host has no systemd."""
    from infrastructure.runtimes import hidden_directories, transient_units

    bakery = settings.BAKERY
    hidden = hidden_directories(bakery.data_dir, bakery.logs_dir, bakery.builds_dir, bakery.install_dir)
    return transient_units(bakery.processes, bakery.data_dir, hidden)


@cache
def router() -> Router:
    bakery = settings.BAKERY
    if bakery.web_server == "system":
        from infrastructure.nginx.system import system_router

        return system_router(bakery.data_dir, logs_dir=bakery.logs_dir, http_port=bakery.http_port)
    from infrastructure.nginx.router import NginxRouter

    return NginxRouter(
        prefix=bakery.data_dir / "nginx",
        nginx_binary=bakery.nginx_binary,
        http_port=bakery.http_port,
        logs_dir=bakery.logs_dir,
        libraries=bakery.nginx_libraries,
    )


def route_of(deployment: Deployment) -> Route:
    upstreams = {slot.name: slot.upstream for slot in deployment.slots.all()}
    return Route(
        deployment_id=deployment.pk,
        name=deployment.name,
        hostnames=tuple(deployment.domains.values_list("hostname", flat=True)),
        blue_upstream=upstreams[SlotName.BLUE],
        green_upstream=upstreams[SlotName.GREEN],
        request_timeout=deployment.request_timeout,
        max_body_mb=deployment.max_body_mb,
    )


def hostname_of(deployment: Deployment) -> str:
    """A name that the application answers to; the probe asks with it."""
    return deployment.domains.values_list("hostname", flat=True).first() or "localhost"


def other(slot: Slot) -> Slot:
    return slot.deployment.slots.exclude(pk=slot.pk).get()


def checkout_dir(deployment_id: int, release_id: int) -> Path:
    path: Path = settings.BAKERY.builds_dir / str(deployment_id) / str(release_id)
    return path


def repository_dir(deployment_id: int) -> Path:
    path: Path = settings.BAKERY.data_dir / "repositories" / f"{deployment_id}.git"
    return path


def persistent_dir(deployment_id: int) -> Path:
    path: Path = settings.BAKERY.data_dir / "persistent" / str(deployment_id)
    return path
