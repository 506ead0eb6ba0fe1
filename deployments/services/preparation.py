"""The first half of a deploy: from a ref to an artifact. Nothing here touches what serves."""

from __future__ import annotations

import shutil

from django.conf import settings

from deployments.models import Release, ReleaseState, Runtime
from deployments.services import host
from deployments.services.job import Job
from infrastructure import disk, git
from infrastructure.errors import HostProblem
from infrastructure.runtime import Build
from infrastructure.runtimes import detect_runtime


def fetch(job: Job) -> None:
    """Pin the commit and check it out, unless an artifact of it exists already."""
    release, snapshot = job.release, job.snapshot
    with job.phase("fetch"):
        job.say(f"Deploying {release.ref} of {snapshot['repository']} as v{release.number}")
        _refuse_full_disk()
        repository = git.Repository(
            deployment_id=job.deployment.pk,
            url=snapshot["repository"],
            cache=host.repository_dir(job.deployment.pk),
            allow_file=settings.BAKERY.allow_file_repositories,
            disk_mb=snapshot.build_limits().disk_mb,
            units=host.units(),
        )
        if not release.commit_sha:
            commit = repository.fetch(release.ref, job.runner, job.log)
            _note(
                release, commit_sha=commit.sha, commit_subject=commit.subject[:300], commit_author=commit.author[:200]
            )
        else:  # a killed worker had pinned it
            repository.fetch(release.commit_sha, job.runner, job.log)
        job.say(f"Commit {release.commit_sha[:12]} {release.commit_subject}")
        target = host.checkout_dir(job.deployment.pk, release.pk)
        repository.check_out(release.commit_sha, target, job.runner, job.log)
        git.base_directory(target, snapshot["base_directory"])
        wanted = snapshot["runtime"]
        runtime = detect_runtime(target, snapshot["base_directory"]) if wanted == Runtime.AUTO else wanted
        _note(release, runtime=runtime, artifact_key=snapshot.artifact_key(release.commit_sha, runtime))
    job.advance(ReleaseState.FETCHING, ReleaseState.BUILDING)


def build(job: Job) -> None:
    """Make the artifact, or take the one that an earlier release of the same commit and settings has."""
    release, snapshot = job.release, job.snapshot
    if release.artifact:
        job.advance(ReleaseState.BUILDING, ReleaseState.STARTING)
        return
    with job.phase("build"):
        runtime = host.runtimes()[release.runtime]
        runtime.available()
        source = host.checkout_dir(job.deployment.pk, release.pk)
        earlier = _same_artifact(release)
        if earlier and runtime.has_artifact(earlier.artifact):
            job.say(f"Same commit and build settings as v{earlier.number}: using what was built then")
            _note(release, artifact=earlier.artifact, container_port=earlier.container_port)
            shutil.rmtree(source, ignore_errors=True)
        else:
            _refuse_full_disk()
            built = runtime.build(
                Build(
                    deployment_id=job.deployment.pk,
                    release_id=release.pk,
                    source=source,
                    base_directory=snapshot["base_directory"],
                    build_command=snapshot["build_command"],
                    start_command=snapshot["start_command"],
                    env=snapshot.build_env,
                    limits=snapshot.build_limits(),
                    container_port=snapshot["container_port"],
                ),
                job.runner,
                job.log,
            )
            _note(release, artifact=built.artifact, container_port=built.container_port)
            if release.runtime == Runtime.DOCKER:
                shutil.rmtree(source, ignore_errors=True)
    job.advance(ReleaseState.BUILDING, ReleaseState.STARTING)


def _same_artifact(release: Release) -> Release | None:
    same = Release.objects.filter(deployment=release.deployment_id, artifact_key=release.artifact_key)
    return same.exclude(artifact="").exclude(pk=release.pk).exclude(state=ReleaseState.PRUNED).first()


def _note(release: Release, **facts: str | int | None) -> None:
    """Write down what was found out of a release."""
    for name, value in facts.items():
        setattr(release, name, value)
    release.save(update_fields=list(facts))


def _refuse_full_disk() -> None:
    settings.BAKERY.builds_dir.mkdir(parents=True, exist_ok=True)
    if disk.is_short(settings.BAKERY.builds_dir):
        free = disk.free_bytes(settings.BAKERY.builds_dir)
        raise HostProblem(
            "disk.full",
            f"Only {free // 1_048_576} MiB are free where Bakery builds.",
            "Make room: delete deployments that are no longer needed, or enlarge the disk. Then deploy again.",
        )
