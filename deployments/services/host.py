"""The host of this instance: the adapters, made once from the settings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings

from deployments.models import Deployment, Slot, SlotName
from infrastructure.confinement import Units
from infrastructure.routing import Host, Route, Router
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

        return system_router(
            bakery.data_dir,
            logs_dir=bakery.logs_dir,
            http_port=bakery.http_port,
            https_port=bakery.https_port,
            panel_port=bakery.port,
        )
    from infrastructure.nginx.router import NginxRouter

    return NginxRouter(
        prefix=bakery.data_dir / "nginx",
        nginx_binary=bakery.nginx_binary,
        http_port=bakery.http_port,
        https_port=bakery.https_port,
        panel_port=bakery.port,
        logs_dir=bakery.logs_dir,
        libraries=bakery.nginx_libraries,
    )


def route_of(deployment: Deployment) -> Route:
    upstreams = {slot.name: slot.upstream for slot in deployment.slots.all()}
    return Route(
        deployment_id=deployment.pk,
        name=deployment.name,
        hosts=hosts_of(deployment),
        blue_upstream=upstreams[SlotName.BLUE],
        green_upstream=upstreams[SlotName.GREEN],
        request_timeout=deployment.request_timeout,
        max_body_mb=deployment.max_body_mb,
        certificate=certificate_name(deployment),
    )


def certificate_name(deployment: Deployment) -> str:
    """Under which the deployment's certificate lies in Nginx's store, as ``Certificate.store_name`` has it."""
    return f"deployment-{deployment.pk}"


def hosts_of(deployment: Deployment) -> tuple[Host, ...]:
    """Its names with what is asked for at each. One has HTTPS once a certificate that covers it is installed: what
    the files say decides, so that a row that is wrong costs no visitor the site."""
    rows = list(deployment.domains.all())
    primary = next((row.hostname for row in rows if row.primary and not row.is_wildcard), "")
    installed = router().certificates.current(certificate_name(deployment))
    return tuple(
        Host(
            name=row.hostname,
            redirect_to=primary if row.redirects and primary != row.hostname else "",
            https=installed is not None and installed.covers(row.hostname),
            hsts_seconds=row.hsts_seconds,
            max_body_mb=row.max_body_mb or 0,
            auth=(row.auth_user, row.auth_hash) if row.auth_user and row.auth_hash else None,
            allowed=tuple(row.allowed_networks),
            maintenance=row.maintenance,
            headers=tuple(row.headers.items()),
        )
        for row in rows
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
