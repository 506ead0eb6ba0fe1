"""What a certificate's task has in its hands, beside what every task beside the engine has: its row, and the wishes."""

from __future__ import annotations

from bakery.models import Task
from deployments.models import StreamKind
from deployments.services.task_job import TaskJob
from domains.models import Certificate
from infrastructure.certbot.dns_plugins import secret_values
from infrastructure.secret import Masker


class CertificateJob(TaskJob):
    def __init__(self, task: Task, certificate: Certificate) -> None:
        self.certificate = certificate
        self.wishes = frozenset(task.ref.split())
        provider = certificate.dns_provider
        masker = Masker(secret_values(provider.credentials.reveal()) if provider else ())
        super().__init__(task, StreamKind.CERTIFICATE, masker, topic="certificate", row=certificate.pk)
