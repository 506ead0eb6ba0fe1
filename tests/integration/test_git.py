"""Fetching from real repositories: over file:// as Bakery's user, over https:// as an own uid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.confinement import uid_for
from infrastructure.errors import Problem
from infrastructure.git import Repository, base_directory
from infrastructure.runner import Command, Runner
from infrastructure.values import GitUrl
from tests.integration.https_server import HttpsServer

pytestmark = pytest.mark.slow

NUMBER = 910_000 + os.getpid() % 1000


class Origin:
    """A repository of somebody who pushes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in WHO.items()}
        command = Command(
            argv=("git", *arguments),
            cwd=self.path,
            env={**names, "HOME": str(self.path)},
        )
        return Runner().run(command).output.strip()

    def commit(self, subject: str, **files: str) -> str:
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")


WHO = {"NAME": "Alice", "EMAIL": "alice@example.com"}


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def repository(origin: Origin, tmp_path: Path) -> Repository:
    return repository_at(f"file://{origin.path}", tmp_path)


def repository_at(url: str, tmp_path: Path) -> Repository:
    cache = tmp_path / "repositories" / f"{NUMBER}.git"
    return Repository(deployment_id=NUMBER, url=url, cache=cache, allow_file=True)


def lay_out(repository: Repository, ref: str, directory: Path) -> str:
    commit = repository.fetch(ref, Runner())
    repository.check_out(commit.sha, directory, Runner())
    assert commit.author == "Alice"
    return commit.subject


def test_a_branch_is_fetched_and_its_files_belong_to_the_deployment(
    origin: Origin, repository: Repository, tmp_path: Path
) -> None:
    origin.commit("First", hello="one")
    directory = tmp_path / "builds" / str(NUMBER) / "1"
    assert lay_out(repository, "main", directory) == "First"
    assert (directory / "hello").read_text() == "one"
    assert sorted(path.name for path in directory.iterdir()) == ["hello"]
    assert (directory / "hello").stat().st_uid == (uid_for(NUMBER) or os.getuid())


def test_the_commit_is_fetched_alone_and_a_later_one_on_top(
    origin: Origin, repository: Repository, tmp_path: Path
) -> None:
    for number in range(5):
        origin.commit(f"Commit {number}", file=str(number))
    lay_out(repository, "main", tmp_path / "b" / "1")
    assert (repository.cache / "shallow").exists()
    origin.commit("Later", file="later")
    assert lay_out(repository, "main", tmp_path / "b" / "2") == "Later"
    assert (tmp_path / "b" / "1" / "file").read_text() == "4"


def test_a_tag_and_a_full_sha_name_commits_as_well(origin: Origin, repository: Repository, tmp_path: Path) -> None:
    sha = origin.commit("Tagged", file="tagged")
    origin.git("tag", "-a", "v1", "-m", "one")
    origin.commit("After", file="after")
    assert repository.fetch("v1", Runner()).sha == sha
    assert lay_out(repository, sha, tmp_path / "b" / "1") == "Tagged"


def test_a_commit_that_is_in_the_cache_needs_no_network(origin: Origin, repository: Repository, tmp_path: Path) -> None:
    sha = origin.commit("First", file="one")
    lay_out(repository, "main", tmp_path / "b" / "1")
    origin.path.rename(tmp_path / "gone")
    assert lay_out(repository, sha, tmp_path / "b" / "2") == "First"


def test_an_empty_commit_is_an_empty_directory(origin: Origin, repository: Repository, tmp_path: Path) -> None:
    origin.commit("Nothing")
    lay_out(repository, "main", tmp_path / "b" / "1")
    assert list((tmp_path / "b" / "1").iterdir()) == []


def test_hooks_filters_and_configuration_of_the_cache_or_the_repository_do_not_run(
    origin: Origin, repository: Repository, tmp_path: Path
) -> None:
    origin.commit("First", file="one")
    lay_out(repository, "main", tmp_path / "b" / "1")
    hook = repository.cache / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/usr/bin/env python3\nopen({str(tmp_path / 'hooked')!r}, 'w')\n")
    hook.chmod(0o755)
    origin.commit("Second", **{".gitattributes": "* filter=evil", "file": "two"})
    lay_out(repository, "main", tmp_path / "b" / "2")
    assert not (tmp_path / "hooked").exists()


@pytest.mark.parametrize(
    ("url", "ref", "problem"),
    [
        ("file:///srv/no/such/repository", "main", "git.not-found"),
        ("https://127.0.0.1:1/owner/name.git", "main", "git.unreachable"),
        ("https://no-such-host.invalid/owner/name.git", "main", "git.unreachable"),
        ("ssh://git@127.0.0.1:1/owner/name.git", "main", "git.unreachable"),
    ],
)
def test_an_address_without_a_repository_is_explained(url: str, ref: str, problem: str, tmp_path: Path) -> None:
    repository = repository_at(url, tmp_path)
    with pytest.raises(Problem) as caught:
        repository.fetch(ref, Runner())
    assert caught.value.id == problem


def test_a_branch_that_does_not_exist_is_named(origin: Origin, repository: Repository) -> None:
    origin.commit("First")
    with pytest.raises(Problem, match="no branch, tag or commit named nope") as caught:
        repository.fetch("nope", Runner())
    assert caught.value.id == "git.no-such-branch"


def test_a_commit_that_does_not_exist_is_named(origin: Origin, repository: Repository) -> None:
    origin.commit("First")
    with pytest.raises(Problem) as caught:
        repository.fetch("0" * 39 + "1", Runner())
    assert caught.value.id == "git.no-such-branch"


def test_a_protocol_that_is_not_on_the_list_is_refused_even_when_it_gets_that_far(
    tmp_path: Path,
) -> None:
    repository = repository_at("https://127.0.0.1:1/x.git", tmp_path)
    repository.url = str.__new__(
        GitUrl, f"ext::touch% {tmp_path / 'hacked'}"
    )  # as if the value object had let it through
    with pytest.raises(Problem):
        repository.fetch("main", Runner())
    assert not (tmp_path / "hacked").exists()


@pytest.fixture
def https(origin: Origin, tmp_path: Path) -> Iterator[HttpsServer]:
    (tmp_path / "workshop").mkdir()
    server = HttpsServer(origin.path, tmp_path / "workshop")
    yield server
    server.stop()


def over_https(url: str, tmp_path: Path) -> Repository:
    # The tests' certificate is nobody's; that certificates are checked is git's own default.
    trusting = {"GIT_SSL_NO_VERIFY": "1"}
    return Repository(deployment_id=NUMBER, url=url, cache=tmp_path / "repositories" / "over-https.git", env=trusting)


def test_a_host_that_offers_no_single_commits_is_fetched_with_its_history_under_the_fetching_uid(
    origin: Origin, https: HttpsServer, tmp_path: Path
) -> None:
    origin.commit("First", file="one")
    origin.commit("Second", file="two")
    origin.git("update-server-info")
    repository = over_https(f"{https.url}/.git", tmp_path)
    assert lay_out(repository, "main", tmp_path / "b" / "1") == "Second"
    assert (tmp_path / "b" / "1" / "file").read_text() == "two"
    about = (repository.cache / "HEAD").stat()
    assert about.st_uid == (uid_for(NUMBER, fetching=True) or os.getuid())
    if uid_for(NUMBER) is not None:
        assert repository.cache.stat().st_mode & 0o777 == 0o750
        assert repository.cache.stat().st_gid == uid_for(NUMBER)


@pytest.mark.parametrize(("path", "problem"), [("private/x.git", "git.needs-password"), ("none.git", "git.not-found")])
def test_a_private_and_a_missing_repository_are_told_apart(
    https: HttpsServer, tmp_path: Path, path: str, problem: str
) -> None:
    with pytest.raises(Problem) as caught:
        over_https(f"{https.url}/{path}", tmp_path).fetch("main", Runner())
    assert caught.value.id == problem


def test_a_certificate_of_nobody_is_not_trusted(https: HttpsServer, tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        repository_at(f"{https.url}/.git", tmp_path).fetch("main", Runner())
    assert caught.value.id == "git.unreachable"


def test_a_base_directory_is_found_and_one_that_leads_out_is_refused(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    (source / "apps" / "web").mkdir(parents=True)
    (source / "out").symlink_to("/etc")
    (source / "inside").symlink_to("apps")
    (source / "file").write_text("")
    assert base_directory(source, "apps/web") == source / "apps" / "web"
    assert base_directory(source, "") == source
    assert base_directory(source, "inside/web") == source / "apps" / "web"
    for bad in ("out", "out/ssl", "nowhere", "file"):
        with pytest.raises(Problem) as caught:
            base_directory(source, bad)
        assert caught.value.id == "git.no-such-directory"


def test_a_repository_that_is_larger_than_its_disk_limit_is_not_kept(
    origin: Origin, repository: Repository, tmp_path: Path
) -> None:
    for number in range(8):
        (origin.path / f"noise{number}").write_bytes(os.urandom(4 * 1024 * 1024))
    origin.commit("Noise")
    repository.disk_mb = 8
    with pytest.raises(Problem) as caught:
        repository.fetch("main", Runner())
    assert caught.value.id == "build.disk-limit"
    assert "clone" in caught.value.message
    assert not repository.cache.exists()


def test_a_checkout_that_is_larger_than_the_disk_limit_is_ended(
    origin: Origin, repository: Repository, tmp_path: Path
) -> None:
    origin.commit(
        "Zeroes, which are small while they are packed", **{f"zeroes{number}": "0" * 3_000_000 for number in range(9)}
    )
    commit = repository.fetch("main", Runner())
    repository.disk_mb = 8
    with pytest.raises(Problem) as caught:
        repository.check_out(commit.sha, tmp_path / "builds" / str(NUMBER) / "1", Runner())
    assert caught.value.id == "build.disk-limit"
