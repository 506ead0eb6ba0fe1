"""The machine's own Nginx, where it serves Bakery: what others have in it may be in Bakery's way."""

from __future__ import annotations

import os

from bakery.doctor.finding import Finding, ok, warning, wrong
from bakery.environment import Environment
from infrastructure.errors import HostProblem
from infrastructure.nginx.inspection import changed_by_hand, https_remarks, remarks
from infrastructure.nginx.installed import read
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.system import system_router
from infrastructure.nginx.system_prefix import SystemPrefix
from infrastructure.runner import Runner

SUBJECT = "Nginx's configuration"


def web_server_findings(bakery: Environment, runner: Runner) -> list[Finding]:
    if bakery.web_server != "system":
        by_hand = changed_by_hand(Prefix(bakery.data_dir / "nginx"))
        return [warning(SUBJECT, remark.text, remark.mend) for remark in by_hand]
    if os.geteuid() != 0:
        return [warning(SUBJECT, "only root can look at it", "Run the doctor as root.")]
    router = system_router(
        bakery.data_dir,
        logs_dir=bakery.logs_dir,
        http_port=bakery.http_port,
        https_port=bakery.https_port,
        panel_port=bakery.port,
        runner=runner,
    )
    prefix = router.prefix
    if not isinstance(prefix, SystemPrefix) or not prefix.configuration.exists() or not prefix.root.is_dir():
        return [wrong(SUBJECT, "Bakery is not in this machine's Nginx.", "Run the installer again.")]
    try:
        with router.applier.lock():
            installed = read(prefix, router.applier.nginx_binary, runner)
    except HostProblem as problem:
        return [wrong(SUBJECT, problem.message, problem.hint)]
    found = [*remarks(prefix, installed, router.master, bakery.http_port), *https_remarks(router, installed)]
    if not found:
        return [ok(SUBJECT, "is in order, with Bakery's part in force")]
    return [(wrong if remark.serious else warning)(SUBJECT, remark.text, remark.mend) for remark in found]
