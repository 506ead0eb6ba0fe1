"""The Docker engine: whether it is there, new enough, keeps its images well, and has addresses for containers."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import psutil

from bakery.doctor.finding import Finding, ok, warning, wrong
from bakery.environment import Environment
from infrastructure.docker.client import client
from infrastructure.docker.engine import NETWORK, OLDEST_API, Engine, negotiated, translated
from infrastructure.errors import HostProblem

# Storage drivers that copy whole layers, or that Docker has given up (docs.docker.com/engine/storage/drivers/select-…).
POOR_DRIVERS = {
    "vfs": "it copies every layer whole: each build takes the disk of all images before it",
    "devicemapper": "Docker has given it up",
    "aufs": "Docker has given it up",
    "overlay": "Docker has given it up",
}
INSTALL = "apt-get install docker.io, and let Bakery's worker reach its socket."


def docker_findings(bakery: Environment) -> list[Finding]:
    engine = Engine("", bakery.docker_subnet)
    try:
        with translated():
            version, info = engine.api.version(api_version=False), engine.api.info()
            networks = engine.api.networks()
    except HostProblem as problem:
        if problem.id == "docker.too-old":
            return [wrong("Docker", problem.message, "Upgrade Docker.")]
        return [
            warning(
                "Docker",
                "no engine can be reached: repositories with a Dockerfile cannot be deployed, all others can",
                INSTALL,
            )
        ]
    return [
        *engine_findings(version, info),
        client_finding(),
        *address_findings(bakery.docker_subnet, networks, host_networks()),
    ]


def engine_findings(version: dict[str, Any], info: dict[str, Any]) -> list[Finding]:
    number = str(version.get("Version", ""))
    try:
        negotiated(str(version["ApiVersion"]), OLDEST_API)
    except HostProblem as problem:
        return [wrong("Docker", problem.message, "Upgrade Docker.", number)]
    found = [ok("Docker", "the engine answers", number)]
    driver = str(info.get("Driver", ""))
    if driver in POOR_DRIVERS:
        mend = "Use overlay2: “storage-driver” in /etc/docker/daemon.json, on ext4 or xfs. Images are then built anew."
        found.append(warning("Docker storage", f"{driver}: {POOR_DRIVERS[driver]}", mend))
    else:
        found.append(ok("Docker storage", driver))
    return found


def client_finding() -> Finding:
    try:
        found = client()
    except HostProblem:
        return wrong("Docker client", "the program docker, which builds images, is not on this host.", INSTALL)
    if not found.buildkit:
        return warning(
            "Docker client", f"{found.path} has no BuildKit: images are built slowly.", "apt-get install docker-buildx"
        )
    return ok("Docker client", f"{found.path}, with BuildKit")


def address_findings(subnet: str, networks: list[dict[str, Any]], host: dict[str, str]) -> list[Finding]:
    """``networks`` as the engine lists them; ``host``: networks that the host is in or has routes to, by interface."""
    wanted = ipaddress.ip_network(subnet)
    bridge = ""
    taken: list[str] = []
    for network in networks:
        subnets = [str(entry.get("Subnet") or "") for entry in (network.get("IPAM") or {}).get("Config") or []]
        if network["Name"] == NETWORK:
            bridge = f"br-{network['Id'][:12]}"
            if subnet not in subnets:
                return [
                    wrong(
                        "Docker addresses",
                        f"the network {NETWORK} has {', '.join(subnets)}, and BAKERY_DOCKER_SUBNET is {subnet}.",
                        "Set BAKERY_DOCKER_SUBNET to it, or remove that network while nothing runs in it.",
                    )
                ]
        else:
            taken += [f"{network['Name']} ({found})" for found in subnets if _overlap(wanted, found)]
    # The engine's other bridges are interfaces as well: each is named once.
    own = {name: found for name, found in host.items() if bridge not in name.split()}
    others = taken or [f"{name} ({found})" for name, found in own.items() if _overlap(wanted, found)]
    if others:
        detail = f"{subnet} is used by {', '.join(others)} as well: containers, or that network, are out of reach."
        mend = "Set BAKERY_DOCKER_SUBNET to a free one, such as 10.208.0.0/16, before anything is deployed in it."
        return [(warning if bridge else wrong)("Docker addresses", detail, mend)]
    return [ok("Docker addresses", subnet)]


def host_networks() -> dict[str, str]:
    """The host's own networks and those that it has routes to, but for the default route."""
    found = {}
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family == socket.AF_INET and address.netmask:
                found[name] = str(ipaddress.ip_network(f"{address.address}/{address.netmask}", strict=False))
    try:
        routes = Path("/proc/net/route").read_text().splitlines()[1:]
    except OSError:
        return found
    for line in routes:
        name, destination, _, _, _, _, _, mask, *_ = line.split()
        network, prefix = _from_kernel(destination), _from_kernel(mask)
        if prefix != "0.0.0.0":  # noqa: S104 - a netmask
            found.setdefault(f"{name} to {network}", str(ipaddress.ip_network(f"{network}/{prefix}", strict=False)))
    return found


def _from_kernel(text: str) -> str:
    """An address as /proc/net/route has it: hexadecimal in the machine's byte order (proc_net_route(5))."""
    return socket.inet_ntoa(int(text, 16).to_bytes(4, "little"))


def _overlap(wanted: ipaddress.IPv4Network | ipaddress.IPv6Network, other: str) -> bool:
    try:
        return wanted.overlaps(ipaddress.ip_network(other, strict=False))
    except (ValueError, TypeError):  # none, or of the other family
        return False
