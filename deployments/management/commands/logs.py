from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from bakery.roles import Action
from deployments.management.base import DeploymentCommand
from deployments.management.commands.rollback import find_release
from deployments.management.following import INTERVAL, StreamReader, for_terminal
from deployments.models import Deployment, LogStream, Release, StreamKind
from infrastructure.errors import Problem


class Command(DeploymentCommand):
    help = "Print a release's log: of its process, or with --build of its build. The live release's, unless told."
    action = Action.READ_LOGS
    examples = ("logs shop -f", "logs shop --build", "logs shop --release 4 -n 0")

    def arguments(self, parser: ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument("-f", "--follow", action="store_true", help="Go on printing until Ctrl-C.")
        parser.add_argument("--release", metavar="NUMBER", help="The release, such as 4 or v4.")
        parser.add_argument("--build", action="store_true", help="The log of the build; else of the process.")
        parser.add_argument(
            "-n", "--lines", type=int, metavar="N", default=200, help="How many of the last lines (200); 0: all."
        )

    def perform_on(self, deployment: Deployment, options: dict[str, Any]) -> None:
        kind = StreamKind.BUILD if options["build"] else StreamKind.PROCESS
        release = self._release(deployment, options["release"], kind)
        reader = self._reader(release, kind, follow=options["follow"])
        lines = max(0, options["lines"])
        self._print([reader.tail(lines)] if lines else reader.read())
        while options["follow"]:
            if options["build"]:
                reader.stream.refresh_from_db(fields=["ended_at"])
            self._print(reader.read())
            if reader.stream.ended_at:
                return
            time.sleep(INTERVAL)

    def _release(self, deployment: Deployment, number: str | None, kind: StreamKind) -> Release:
        if number:
            return find_release(deployment, number)
        newest = deployment.releases.order_by("-number").first()
        release = newest if kind == StreamKind.BUILD else deployment.current_release or newest
        if release is None:
            raise Problem("release.none", f"{deployment.name} has no release yet.", "Deploy it first.")
        return release

    def _reader(self, release: Release, kind: StreamKind, *, follow: bool) -> StreamReader:
        while True:
            stream = LogStream.objects.filter(release=release, kind=kind).first()
            if stream:
                return StreamReader(stream)
            if not follow:
                raise Problem("log.none", f"v{release.number} has written no {kind} log.")
            time.sleep(INTERVAL)

    def _print(self, parts: Iterable[str]) -> None:
        for text in parts:
            self.stdout.write(for_terminal(self.stdout, text), ending="")
        self.stdout.flush()

    def interrupted(self) -> str:
        return "the log goes on."
