"""What keeps the machine's Nginx from serving Bakery well, and is not Bakery's to change."""

from __future__ import annotations

import ipaddress
import resource
from dataclasses import dataclass

from infrastructure.files import read_if_there
from infrastructure.nginx.candidate import INCLUDES, no_include
from infrastructure.nginx.config import HASH_SIZES, generation_in
from infrastructure.nginx.hand_edits import edited
from infrastructure.nginx.https_port import decided
from infrastructure.nginx.installed import CONNECTIONS, Installed
from infrastructure.nginx.master import Master
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.router import NginxRouter
from infrastructure.nginx.system_prefix import SystemPrefix

FEW_CONNECTIONS = 4096
FEW_FILES = 4096
INSTALL_AGAIN = "Run the installer again: it mends what is missing."


@dataclass(frozen=True)
class Remark:
    """``serious``: sites do not answer as they should; otherwise it will hurt once there are many."""

    text: str
    mend: str
    serious: bool = False


def remarks(prefix: SystemPrefix, installed: Installed, master: Master, http_port: int) -> list[Remark]:
    return [
        *changed_by_hand(prefix),
        *_parts(prefix, installed),
        *_running(prefix, master),
        *_numbers(installed),
        *_listens(installed, http_port),
    ]


def https_remarks(router: NginxRouter, installed: Installed) -> list[Remark]:
    """What HTTPS wants besides."""
    listens = router.prefix.listen_https.exists()
    listening, notes = decided(router.listening(), installed, ours=listens)
    if listens and listening.https:
        return []
    return [Remark(note, INSTALL_AGAIN) for note in notes] or [Remark("HTTPS is not set up yet.", INSTALL_AGAIN)]


def changed_by_hand(prefix: Prefix) -> list[Remark]:
    mend = "The next change of any site puts back what Bakery wrote, and keeps the edit in {0}."
    return [Remark(f"{path} was changed by hand.", mend.format(prefix.written)) for path in edited(prefix)]


def _parts(prefix: SystemPrefix, installed: Installed) -> list[Remark]:
    found = []
    if not INCLUDES["conf.d"].search(installed.main):
        problem = no_include(prefix.http_part)
        found.append(Remark(problem.message, problem.hint, serious=True))
    needed = [prefix.http_part, prefix.listen, prefix.settings, prefix.panel, prefix.unit_part, prefix.starter]
    found += [Remark(f"{path} is missing.", INSTALL_AGAIN, serious=True) for path in needed if not path.exists()]
    return found


def _running(prefix: SystemPrefix, master: Master) -> list[Remark]:
    pid = master.pid()
    if pid is None:
        return [Remark("Nginx is not running.", "systemctl start nginx; journalctl -u nginx says why it ended.", True)]
    found = []
    if master.generation() != generation_in(read_if_there(prefix.generation) or ""):
        why = "Nginx works with another configuration than the last one that Bakery gave it."
        found.append(Remark(why, "systemctl reload nginx", serious=True))
    soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if 0 <= soft < FEW_FILES:
        found.append(
            Remark(f"Nginx may open {soft} files: too few for many sites.", "systemctl restart nginx, in a quiet hour.")
        )
    return found


def _numbers(installed: Installed) -> list[Remark]:
    found = []
    connections = [int(value) for value in installed.values_of("worker_connections") if value.isdigit()]
    if connections and connections[-1] < FEW_CONNECTIONS:
        why = f"nginx.conf allows {connections[-1]} connections per worker, and a request takes four."
        mend = f"Set “worker_connections {CONNECTIONS};” in /etc/nginx/nginx.conf; it was changed by hand before."
        found.append(Remark(why, mend))
    if not INCLUDES["modules-enabled"].search(installed.main):
        unset = installed.unset(("worker_rlimit_nofile", "worker_shutdown_timeout"))
        found += [
            Remark(f"{name} is not set in nginx.conf.", f"Set it at the top: “{name} {value};”.")
            for name, value in (("worker_rlimit_nofile", "65536"), ("worker_shutdown_timeout", "600s"))
            if name in unset
        ]
    bucket = "server_names_hash_bucket_size"
    found += [
        Remark(f"{bucket} is {value}: one long host name would be refused.", f"Set it to {HASH_SIZES[bucket]}.")
        for value in installed.values_of(bucket)
        if value.isdigit() and int(value) < HASH_SIZES[bucket]
    ]
    return found


def _listens(installed: Installed, http_port: int) -> list[Remark]:
    """Of servers that listen on one address alone, Nginx considers no others for visitors to it."""
    found = []
    for said in installed.said:
        if said.name != "listen" or not said.arguments:
            continue
        address, _, port = said.arguments[0].rpartition(":")
        try:
            is_one = port == str(http_port) and not ipaddress.ip_address(address.strip("[]")).is_unspecified
        except ValueError:
            continue
        if is_one:
            why = f"{said.file} listens on {said.arguments[0]}: who comes there does not reach Bakery's sites."
            found.append(Remark(why, f"Let it listen on {http_port}, as all others do."))
    return found
