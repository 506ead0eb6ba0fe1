"""The bare mirror of Bakery's own repository: which versions there are, and what is between two of them."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infrastructure.errors import HostProblem, Problem
from infrastructure.network import network_environment
from infrastructure.runner import Command, CommandFailed, LogSink, Runner, TimedOut
from infrastructure.values import GitRef
from infrastructure.version_file import Version

FETCH_SECONDS, LOOK_SECONDS, CHECKOUT_SECONDS = 600.0, 60.0, 120.0
MOST_CHANGES = 200
LONGEST_CHANGELOG = 20_000  # characters
OPTIONS = (
    ("core.hooksPath", "/dev/null"),
    ("safe.directory", "*"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "30"),
)
REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
UNTOUCHED = "The running version was not touched."


@dataclass(frozen=True)
class Change:
    sha: str
    date: str
    subject: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class Mirror:
    def __init__(self, path: Path, runner: Runner, log: LogSink | None = None) -> None:
        self.path, self.runner, self.log = path, runner, log
        self.asking = Runner()  # questions are not recorded: what was done is

    def command(
        self, *arguments: str, timeout: float = LOOK_SECONDS, merge_stderr: bool = False, **env: str
    ) -> Command:
        """The plan of one git command. The administrator's own configuration holds: keys, helpers, proxies."""
        environment = {"HOME": os.environ.get("HOME", "/root"), "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": ""}
        environment["GIT_CONFIG_COUNT"] = str(len(OPTIONS))  # as with -c: git-config(1), Environment
        for number, (key, value) in enumerate(OPTIONS):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return Command(
            ("git", f"--git-dir={self.path}", *arguments),
            env={**environment, **network_environment(), **env},
            timeout=timeout,
            merge_stderr=merge_stderr,
        )

    def fetch(self) -> None:
        if not (self.path / "HEAD").exists():
            raise HostProblem(
                "update.no-mirror",
                f"{self.path} is missing: nobody knows where newer versions come from.",
                "Run infrastructure/scripts/install.sh again with --repo; it repairs the installation.",
            )
        arguments = ("fetch", "--prune", "--force", "--no-write-fetch-head", "origin", *REFSPECS)
        try:
            self.runner.run(self.command(*arguments, timeout=FETCH_SECONDS, merge_stderr=True), self.log)
        except (CommandFailed, TimedOut) as failure:
            said = failure.result.output.strip().splitlines() if isinstance(failure, CommandFailed) else []
            why = next((line for line in said if line.startswith(("fatal:", "error:"))), failure.message)
            raise HostProblem(
                "update.cannot-fetch",
                f"Newer versions could not be fetched: {self.runner.masker.mask(why)[:500]}",
                f"{UNTOUCHED} Look whether this host reaches the repository, and try again.",
            ) from failure

    def resolve(self, ref: str = "") -> Version:
        """A branch, a tag or a commit; "": the branch that was installed."""
        names = ["HEAD"]
        if ref:
            wanted = GitRef(ref)
            names = [f"refs/heads/{wanted}", f"refs/tags/{wanted}", *([str(wanted)] if _may_be_sha(wanted) else [])]
        for name in names:
            found = self.asking.run(self.command("log", "-1", "--format=%H %cI", name, "--"), check=False)
            if found.exit_code == 0 and found.output.strip():
                sha, date = found.output.split()
                return Version(sha, date)
        raise Problem(
            "update.no-such-version",
            f"The repository has no branch, tag or commit {ref}."
            if ref
            else "The installed branch is no longer there.",
            f"{UNTOUCHED} Name another one with --ref.",
        )

    def follows(self, old: str, new: str) -> bool:
        """Whether ``new`` has everything that ``old`` has."""
        return self.asking.run(self.command("merge-base", "--is-ancestor", old, new), check=False).exit_code == 0

    def changes(self, old: str, new: str) -> list[Change]:
        """Newest first, at most ``MOST_CHANGES``."""
        arguments = ("log", f"--max-count={MOST_CHANGES}", "--no-merges", "--format=%H%x00%cI%x00%s", f"{old}..{new}")
        lines = self.asking.run(self.command(*arguments, "--")).output.splitlines()
        return [Change(*line.split("\0", 2)) for line in lines if line.count("\0") == 2]

    def changelog(self, old: str, new: str) -> str:
        """The lines that CHANGELOG.md has gained."""
        command = self.command("diff", "--unified=0", "--no-color", "--no-ext-diff", old, new, "--", "CHANGELOG.md")
        lines = self.asking.run(command).output.splitlines()
        gained = [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]
        return "\n".join(gained).strip()[:LONGEST_CHANGELOG]

    def text_of(self, sha: str, path: str) -> str:
        """A file as it is in that commit; "" when it is not in it."""
        found = self.asking.run(self.command("show", f"{sha}:{path}"), check=False)
        return found.output if found.exit_code == 0 else ""

    def check_out(self, sha: str, directory: Path) -> None:
        """Lay the commit's files out in ``directory``, which is there and empty. No ``.git`` is in it."""
        index = directory / ".index"
        command = self.command(
            f"--work-tree={directory}",
            "read-tree",
            "--reset",
            "-u",
            sha,
            timeout=CHECKOUT_SECONDS,
            GIT_INDEX_FILE=str(index),
        )
        self.runner.run(command)
        index.unlink(missing_ok=True)

    def passwords(self) -> list[str]:
        """What the repository's address has in it that no log may show."""
        found = self.asking.run(self.command("config", "--get", "remote.origin.url"), check=False)
        try:
            parts = urlsplit(found.output.strip())
        except ValueError:
            return []
        return [part for part in (parts.password, parts.username if parts.password is None else None) if part]


def _may_be_sha(ref: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{7,40}", ref))
