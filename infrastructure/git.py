"""Fetches exactly one commit of a repository and lays its files out, without trusting the repository.

Three users are kept apart. What talks to the network runs under a *fetching* uid, so that an app never sees git's
credentials and cannot change the cache. The checkout runs under the deployment's uid, which owns the files afterwards.
``file://`` and ``ssh://`` addresses are fetched by Bakery's own user: it alone may read that directory, or has the
key. Such a cache belongs to Bakery, and git never works with more rights than the cache's owner has.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure import git_errors
from infrastructure.confinement import Confinement, confinement_for, uid_for
from infrastructure.errors import Problem
from infrastructure.network import network_environment
from infrastructure.runner import Command, CommandFailed, LogSink, Runner, TimedOut
from infrastructure.secret import Secret
from infrastructure.trees import make_owned, make_private, remove_tree
from infrastructure.values import GitRef, GitUrl, RelativePath

WANTED = (
    "refs/bakery/wanted"  # keeps the fetched commit from being collected as garbage
)
RESOLVE_SECONDS, FETCH_SECONDS, CHECKOUT_SECONDS = 60.0, 600.0, 300.0
LIMITS = {"memory_bytes": 1024 * 1024 * 1024, "cpu_percent": 200, "max_processes": 128}
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


@dataclass(frozen=True)
class Repository:
    """Where a deployment's commits come from. ``cache`` is its bare repository, ``repositories/<id>.git``.
    ``env`` are more variables for git, such as credentials."""

    deployment_id: int
    url: GitUrl
    cache: Path
    instance: str = ""
    env: Mapping[str, str | Secret] = field(default_factory=dict)

    @property
    def is_file(self) -> bool:
        return self.url.startswith("file://")

    @property
    def fetched_by_bakery(self) -> bool:
        return not self.url.startswith("https://")

    @property
    def cache_owner(self) -> int:
        uid = (
            None
            if self.fetched_by_bakery
            else uid_for(self.deployment_id, fetching=True)
        )
        return os.geteuid() if uid is None else uid

    def fetching(self) -> Confinement:
        plan = confinement_for(
            self.deployment_id,
            self._group("fetch"),
            fetching=True,
            reach=self._reach(),
            **LIMITS,
        )
        return Confinement(plan.cgroup, **LIMITS) if self.fetched_by_bakery else plan

    def checking_out(self, directory: Path) -> Confinement:
        reach = (*self._reach(), str(directory))
        return confinement_for(
            self.deployment_id, self._group("checkout"), reach=reach, **LIMITS
        )

    def _group(self, what: str) -> str:
        return f"{self.instance or 'bakery'}-{what}-{self.deployment_id}"

    def _reach(self) -> tuple[str, ...]:
        return (str(self.cache),) if self.cache.exists() else ()


def git(
    repository: Repository,
    *arguments: str,
    confine: Confinement,
    timeout: float,
    **more: object,
) -> Command:
    """The plan of one git command: nothing of the host's configuration, no prompt, no hook, listed protocols alone."""
    protocols = (
        (*ALLOWED_PROTOCOLS, "file") if repository.is_file else ALLOWED_PROTOCOLS
    )
    options = (*OPTIONS, *(f"protocol.{name}.allow=always" for name in protocols))
    return Command(
        argv=(
            "git",
            *(part for option in options for part in ("-c", option)),
            *arguments,
        ),
        env={**_environment(repository), **repository.env, **more.pop("env", {})},  # type: ignore[dict-item]
        confine=confine,
        timeout=timeout,
        **more,  # type: ignore[arg-type]
    )


def _environment(repository: Repository) -> dict[str, str | Secret]:
    here = Path(__file__).parent
    mine = repository.fetched_by_bakery
    return {
        **network_environment(),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(here / "git_local.config")
        if repository.is_file
        else os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_SSH": str(here / "ssh_batch.py"),
        "GIT_SSH_VARIANT": "ssh",
        "HOME": os.path.expanduser("~") if mine else "/nonexistent",
    }


def resolve(repository: Repository, ref: GitRef, runner: Runner) -> str:
    """The SHA of the commit that ``ref`` names on the server now. A full SHA is taken at its word."""
    if ref.is_sha:
        return str(ref)
    names = (
        f"refs/heads/{ref}",
        f"refs/tags/{ref}^{{}}",
        f"refs/tags/{ref}",
    )  # the best one first
    patterns = (names[0], names[2], names[1])
    command = git(
        repository, "ls-remote", "--", repository.url, *patterns,
        confine=repository.fetching(), timeout=RESOLVE_SECONDS, merge_stderr=False,
    )  # fmt: skip
    output = _run(repository, runner, command)
    found = {
        name: sha
        for sha, _, name in (line.partition("\t") for line in output.splitlines())
    }
    for name in names:
        if name in found:
            return found[name]
    raise git_errors.no_such_ref(repository.url, ref)


def fetch(
    repository: Repository,
    sha: str,
    ref: GitRef,
    runner: Runner,
    log: LogSink | None = None,
) -> None:
    """Bring the commit into the cache, alone where the server allows that, else with the history of ``ref``."""
    _make_cache(repository, runner)
    if _has(repository, sha, runner):
        return
    try:
        _fetch(repository, ("--depth=1",), f"+{sha}:{WANTED}", runner, log)
    except Problem as problem:
        if problem.id != "git.commit-not-offered":
            raise
        refspecs = (
            "+refs/heads/*:refs/bakery/heads/*" if ref.is_sha else f"+{ref}:{WANTED}"
        )
        _fetch(repository, (), refspecs, runner, log)
    if not _has(repository, sha, runner):
        raise git_errors.no_such_ref(repository.url, sha)


def checkout(
    repository: Repository,
    sha: str,
    directory: Path,
    runner: Runner,
    log: LogSink | None = None,
) -> Commit:
    """Lay the commit's files out in ``directory``, which is emptied first and belongs to the deployment afterwards.
    There is no ``.git`` in it. Submodules are not fetched."""
    uid = uid_for(repository.deployment_id)
    make_private(directory.parent, uid)
    remove_tree(directory)
    make_owned(directory, uid)
    confine = repository.checking_out(directory)
    index = directory / ".bakery-index"
    lay_out = git(
        repository, f"--git-dir={repository.cache}", f"--work-tree={directory}", "read-tree", "--reset", "-u", sha,
        confine=confine, timeout=CHECKOUT_SECONDS, cwd=directory, env={"GIT_INDEX_FILE": str(index)},
    )  # fmt: skip
    _run(repository, runner, lay_out, log)
    index.unlink(missing_ok=True)
    if log and (directory / ".gitmodules").is_file():
        log(b"This repository has submodules. Bakery does not fetch them.\n")
    return describe(repository, sha, runner)


def describe(repository: Repository, sha: str, runner: Runner) -> Commit:
    show = git(
        repository, f"--git-dir={repository.cache}", "log", "-1", "--no-show-signature", "--format=%H%x00%s%x00%an", sha, "--",
        confine=repository.fetching(), timeout=RESOLVE_SECONDS, merge_stderr=False,
    )  # fmt: skip
    full, subject, author = _run(repository, runner, show).strip("\n").split("\0")
    return Commit(full, subject[:300], author[:200])


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


def _make_cache(repository: Repository, runner: Runner) -> None:
    cache, owner = repository.cache, repository.cache_owner
    if cache.exists() and (
        cache.lstat().st_uid != owner or not (cache / "HEAD").exists()
    ):
        remove_tree(cache)  # the address changed its kind, or making it was interrupted
    if cache.exists():
        return
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.mkdir(mode=0o750)
    if os.geteuid() == 0:
        os.chown(cache, owner, uid_for(repository.deployment_id) or 0)
    init = git(
        repository, "init", "--quiet", "--bare", "--template=", "--", str(cache),
        confine=repository.fetching(), timeout=RESOLVE_SECONDS,
    )  # fmt: skip
    _run(repository, runner, init)


def _has(repository: Repository, sha: str, runner: Runner) -> bool:
    look = git(
        repository, f"--git-dir={repository.cache}", "cat-file", "-e", f"{sha}^{{commit}}",
        confine=repository.fetching(), timeout=RESOLVE_SECONDS,
    )  # fmt: skip
    return runner.run(look, check=False).exit_code == 0


def _fetch(
    repository: Repository,
    options: tuple[str, ...],
    refspec: str,
    runner: Runner,
    log: LogSink | None,
) -> None:
    command = git(
        repository, f"--git-dir={repository.cache}", "fetch", "--progress", "--no-tags", "--no-write-fetch-head",
        "--no-recurse-submodules", "--force", *options, "--", repository.url, refspec,
        confine=repository.fetching(), timeout=FETCH_SECONDS,
    )  # fmt: skip
    _run(repository, runner, command, log)


def _run(
    repository: Repository, runner: Runner, command: Command, log: LogSink | None = None
) -> str:
    try:
        return runner.run(command, log).output
    except CommandFailed as failure:
        raise git_errors.explain(repository.url, failure) from failure
    except TimedOut as late:
        raise git_errors.timed_out(repository.url, command.timeout) from late
