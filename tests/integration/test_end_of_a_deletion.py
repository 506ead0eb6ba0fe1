"""A deletion takes away the row by which its task is found, and the lease that it is done under."""

from __future__ import annotations

import pytest

from bakery.models import Task, TaskState
from deployments.models import Deployment
from deployments.services import operations, requests
from deployments.services.job import Job
from deployments.services.leases import acquire
from deployments.services.settings import create_deployment
from deployments.services.work import claim

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_task_has_ended_with_the_row_whatever_becomes_of_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = create_deployment(by=None, name="shop", repository="https://example.com/shop.git")
    asked = requests.delete(deployment, by=None)
    lease = acquire(deployment.pk)
    assert lease
    task = claim(deployment.pk, lease)
    assert task == asked
    monkeypatch.setattr(operations.host, "router", _NothingThere)
    monkeypatch.setattr(operations.host, "runtimes", dict)
    monkeypatch.setattr(operations, "_forget_certificate", lambda job: None)
    job = Job(task, deployment, lease)
    operations.delete(job)
    lease.abandon()  # its heartbeat finds no row any more, or the worker is killed here
    assert not Deployment.objects.filter(pk=deployment.pk).exists()
    assert Task.objects.get(pk=asked.pk).state == TaskState.SUCCEEDED
    job.finish(TaskState.SUCCEEDED)


class _NothingThere:
    """A web server that never heard of it: ids in the tests' database are those of others in the instance's."""

    def remove(self, pk: int) -> None:
        pass
