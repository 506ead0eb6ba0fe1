from __future__ import annotations

from django.db import models

from databases.models.database import Database
from deployments.models.deployment import validate_env_name

PG_VARIABLES = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE")


class Attachment(models.Model):
    """A database in a deployment's environment, from its next release on (or its next restart)."""

    deployment = models.ForeignKey("deployments.Deployment", on_delete=models.CASCADE, related_name="attachments")
    database = models.ForeignKey(Database, on_delete=models.CASCADE, related_name="attachments")
    variable = models.CharField(max_length=200, default="DATABASE_URL", validators=[validate_env_name])
    pg_variables = models.BooleanField(default=False, help_text="PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE too.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["variable"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "variable"], name="one_database_per_variable"),
            models.UniqueConstraint(
                fields=["deployment"], condition=models.Q(pg_variables=True), name="one_database_for_pg_variables"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.variable} of {self.deployment}"

    @property
    def names(self) -> frozenset[str]:
        """Of the variables that it makes."""
        return frozenset({self.variable, *(PG_VARIABLES if self.pg_variables else ())})
