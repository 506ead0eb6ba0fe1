from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from infrastructure.values import Hostname


def validate_hostname(text: str) -> None:
    try:
        Hostname(text)
    except ValueError as problem:
        raise ValidationError(str(problem)) from problem


class Domain(models.Model):
    """A host name under which Nginx serves a deployment. Each has one that Bakery made: ``<name>.<apps domain>``."""

    deployment = models.ForeignKey("deployments.Deployment", on_delete=models.CASCADE, related_name="domains")
    hostname = models.CharField(max_length=253, unique=True, validators=[validate_hostname])
    generated = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-generated", "hostname"]

    def __str__(self) -> str:
        return self.hostname
