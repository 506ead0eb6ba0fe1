"""Fetches exactly one commit of a repository and lays its files out, without trusting the repository.

Three users are kept apart. What talks to the network runs under a *fetching* uid, so that an app never sees git's
credentials and cannot change the cache. The checkout runs under the deployment's uid, which owns the files afterwards.
``file://`` and ``ssh://`` addresses are fetched by Bakery's own user: it alone may read that directory, or has the
key. Such a cache belongs to Bakery, and git never works with more rights than the cache's owner has.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure import git_errors
from infrastructure.confinement import Confinement, Units, confinement_for, instance_of, uid_for
from infrastructure.disk import LIMIT, MEBIBYTE, DiskWatch
from infrastructure.errors import Problem
from infrastructure.network import network_environment
from infrastructure.runner import Command, CommandFailed, LogSink, Runner, TimedOut
from infrastructure.secret import Secret
from infrastructure.trees import make_owned, make_private, remove_tree
from infrastructure.values import GitRef, GitUrl, RelativePath

WANTED = "refs/bakery/wanted"  # keeps the fetched commit from being collected as garbage
ALL_BRANCHES = "+refs/heads/*:refs/bakery/heads/*"
LOOK_SECONDS, FETCH_SECONDS, CHECKOUT_SECONDS = 60.0, 600.0, 300.0
LIMITS: dict[str, Any] = {"memory_bytes": 1024 * 1024 * 1024, "cpu_percent": 200, "max_processes": 128}
ALLOWED_PROTOCOLS = ("https", "ssh")
OPTIONS = (
    "protocol.allow=never",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "credential.helper=",
    "safe.directory=*",  # the cache is another uid's on purpose; nothing in it is executed
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=false",  # old histories have harmless flaws; checkout has its own checks of paths
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
)


@dataclass(frozen=True)
class Commit:
    sha: str
    subject: str
    author: str


class Repository:
    """Where a deployment's commits come from. ``cache`` is its bare repository, ``repositories/<id>.git``.
    ``env`` are more variables for git, such as credentials; ``disk_mb`` is what the cache, and the files of one commit,
    may take (0: no limit); ``units``: git runs in units of its own."""

    def __init__(
        self,
        *,
        deployment_id: int,
        url: str,
        cache: Path,
        allow_file: bool = False,
        env: Mapping[str, str | Secret] | None = None,
        disk_mb: int = 0,
        units: Units | None = None,
    ) -> None:
        self.disk_mb = disk_mb
        self.units = units
        self.deployment_id = deployment_id
        self.url = GitUrl(url, allow_file=allow_file)
        self.cache = cache
        self.env = dict(env or {})
        self.is_file = self.url.startswith("file://")
        self.fetched_by_bakery = not self.url.startswith("https://")

    def fetch(self, ref: str, runner: Runner, log: LogSink | None = None) -> Commit:
        """Bring the commit that ``ref`` names now into the cache, alone where the server allows that.
        The server is asked once: for a branch, and only when it has none of that name for a tag."""
        wanted = GitRef(ref)
        self._make_cache(runner)
        if wanted.is_sha:
            return self._fetch_sha(wanted, runner, log)
        for kind in ("heads", "tags"):
            name = f"+refs/{kind}/{wanted}:{WANTED}"
            try:
                self._fetch_shallow(name, name, runner, log)
            except Problem as problem:
                if problem.id != git_errors.NO_SUCH_REF:
                    raise
                continue
            if commit := self._describe(WANTED, runner):
                return commit
        raise git_errors.no_such_ref(self.url, wanted)

    def _fetch_sha(self, sha: GitRef, runner: Runner, log: LogSink | None) -> Commit:
        if known := self._describe(sha, runner):
            return known
        self._fetch_shallow(f"+{sha}:{WANTED}", ALL_BRANCHES, runner, log)
        if commit := self._describe(sha, runner):
            return commit
        raise git_errors.no_such_ref(self.url, sha)

    def check_out(self, sha: str, directory: Path, runner: Runner, log: LogSink | None = None) -> None:
        """Lay the commit's files out in ``directory``, which is emptied first and belongs to the deployment afterwards.
        There is no ``.git`` in it. Submodules are not fetched."""
        uid = uid_for(self.deployment_id)
        make_private(directory.parent, uid)
        remove_tree(directory)
        make_owned(directory, uid)
        index = directory / ".bakery-index"
        places = (f"--git-dir={self.cache}", f"--work-tree={directory}")
        with DiskWatch("The checkout", (directory,), self.disk_mb) as watch:
            self._run(
                runner, *places, "read-tree", "--reset", "-u", sha, log=log,
                confine=self._checking_out(directory), timeout=CHECKOUT_SECONDS, cwd=directory,
                env={"GIT_INDEX_FILE": str(index), "HOME": "/nonexistent"}, watch=watch,
            )  # fmt: skip
        index.unlink(missing_ok=True)
        if log and (directory / ".gitmodules").is_file():
            log(b"This repository has submodules. Bakery does not fetch them.\n")

    def command(self, *arguments: str, env: Mapping[str, str] | None = None, **settings: Any) -> Command:
        """The plan of one git command: nothing of the host's configuration, no prompt, no hook, listed protocols."""
        return Command(argv=("git", *arguments), env={**self._environment(), **(env or {})}, **settings)

    def _options(self) -> dict[str, str]:
        """``OPTIONS`` as git reads them from the environment, ranking as ``-c``: so the commands that a task shows
        are of a readable length."""
        protocols = (*ALLOWED_PROTOCOLS, "file") if self.is_file else ALLOWED_PROTOCOLS
        options = [option.split("=", 1) for option in OPTIONS] + [[f"protocol.{p}.allow", "always"] for p in protocols]
        numbered = {"GIT_CONFIG_COUNT": str(len(options))}
        for number, (key, value) in enumerate(options):
            numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return numbered

    def _environment(self) -> dict[str, str | Secret]:
        here = Path(__file__).parent
        return {
            **network_environment(),
            **self._options(),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(here / "git_local.config") if self.is_file else os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "GIT_SSH": str(here / "ssh_batch.py"),
            "GIT_SSH_VARIANT": "ssh",
            "HOME": str(Path.home()) if self.fetched_by_bakery else "/nonexistent",
            **self.env,
        }

    def _fetching(self) -> Confinement:
        group = f"{instance_of(self.cache.parent)}-fetch-{self.deployment_id}"
        if self.fetched_by_bakery:
            return Confinement(group, reach=self._reach(), **self._limits())
        return confinement_for(self.deployment_id, group, fetching=True, reach=self._reach(), **self._limits())

    def _checking_out(self, directory: Path) -> Confinement:
        group = f"{instance_of(self.cache.parent)}-checkout-{self.deployment_id}"
        return confinement_for(self.deployment_id, group, reach=(*self._reach(), str(directory)), **self._limits())

    def _limits(self) -> dict[str, Any]:
        return {**LIMITS, "units": self.units, "file_size_bytes": self.disk_mb * MEBIBYTE or None}

    def _reach(self) -> tuple[str, ...]:
        return (str(self.cache),) if self.cache.exists() else ()

    def _make_cache(self, runner: Runner) -> None:
        cache = self.cache
        uid = None if self.fetched_by_bakery else uid_for(self.deployment_id, fetching=True)
        owner = os.geteuid() if uid is None else uid
        if cache.exists() and (cache.lstat().st_uid != owner or not (cache / "HEAD").exists()):
            remove_tree(cache)  # the address changed its kind, or making it was interrupted
        if cache.exists():
            return
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.mkdir(mode=0o750)
        if os.geteuid() == 0:
            os.chown(cache, owner, uid_for(self.deployment_id) or 0)
        arguments = ("init", "--quiet", "--bare", "--template=", "--", str(cache))
        self._run(runner, *arguments, confine=self._fetching(), timeout=LOOK_SECONDS)

    def _describe(self, name: str, runner: Runner) -> Commit | None:
        """None: it is not in the cache."""
        arguments = (
            f"--git-dir={self.cache}",
            "log",
            "-1",
            "--no-show-signature",
            "--format=%H%x00%s%x00%an",
            name,
            "--",
        )
        look = self.command(*arguments, confine=self._fetching(), timeout=LOOK_SECONDS, merge_stderr=False)
        result = runner.run(look, check=False)
        if result.exit_code != 0:
            return None
        full, subject, author = result.output.strip("\n").split("\0")
        return Commit(full, subject[:300], author[:200])

    def _fetch_shallow(self, refspec: str, otherwise: str, runner: Runner, log: LogSink | None) -> None:
        """One commit; where the server does not give single ones out, ``otherwise`` with its history."""

        def tell(output: bytes) -> None:
            if log and b"couldn't find remote ref" not in output:  # what is no branch may be a tag
                log(output)

        try:
            self._fetch(("--depth=1",), refspec, runner, tell)
        except Problem as problem:
            if problem.id != git_errors.NOT_OFFERED:
                raise
            self._fetch((), otherwise, runner, tell)

    def _fetch(self, options: tuple[str, ...], refspec: str, runner: Runner, log: LogSink | None) -> None:
        quiet = ("--progress", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force")
        arguments = (f"--git-dir={self.cache}", "fetch", *quiet, *options, "--", self.url, refspec)
        try:
            with DiskWatch("The clone", (self.cache,), self.disk_mb) as watch:
                self._run(runner, *arguments, log=log, confine=self._fetching(), timeout=FETCH_SECONDS, watch=watch)
        except Problem as problem:
            if problem.id == LIMIT:
                remove_tree(self.cache)
            raise

    def _run(self, runner: Runner, *arguments: str, log: LogSink | None = None, **settings: Any) -> str:
        command = self.command(*arguments, **settings)
        try:
            return runner.run(command, log).output
        except CommandFailed as failure:
            if isinstance(command.watch, DiskWatch):
                command.watch.measure()
                command.watch()  # it may have failed because it could not write on
            raise git_errors.explain(self.url, failure) from failure
        except TimedOut as late:
            raise git_errors.timed_out(self.url, command.timeout) from late


def base_directory(source: Path, base: str) -> Path:
    """The directory of the application inside a checkout. Symlinks may lead anywhere but out of it."""
    root = source.resolve()
    try:
        found = (root / RelativePath(base)).resolve(strict=True)
    except OSError:
        found = None
    if found is None or not found.is_dir():
        raise Problem(
            "git.no-such-directory",
            f"The repository has no directory {base}.",
            "Correct the base directory in the settings, or choose another branch.",
        )
    if root != found and root not in found.parents:
        raise Problem(
            "git.no-such-directory",
            f"The directory {base} is a symlink that leads out of the repository.",
            "Choose a base directory inside the repository.",
        )
    return found
