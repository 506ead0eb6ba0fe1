from __future__ import annotations

from django.db import models

from databases.models.database import Database


class DatabaseSnapshot(models.Model):
    """What a database measured at one time; one an hour is kept. Sizes in bytes."""

    database = models.ForeignKey(Database, on_delete=models.CASCADE, related_name="snapshots")
    taken_at = models.DateTimeField()
    size_bytes = models.PositiveBigIntegerField()
    table_count = models.PositiveIntegerField()
    connections = models.PositiveIntegerField()
    cache_hit = models.FloatField(null=True, help_text="Of the blocks read since the one before, 0 to 1; none: null.")
    blocks_hit = models.PositiveBigIntegerField(
        default=0, help_text="The server's own count, for the next one to compare."
    )
    blocks_read = models.PositiveBigIntegerField(default=0)
    bloat_bytes = models.PositiveBigIntegerField(null=True, help_text="An estimate.")
    # Of the newest alone, to spare room: the largest tables and, where pg_stat_statements is on, the slowest queries.
    largest = models.JSONField(default=list, blank=True, help_text='[{"table", "bytes", "rows", "bloat_bytes"}]')
    slow = models.JSONField(null=True, blank=True, help_text='[{"query", "calls", "mean_ms", "total_ms"}]; null: off.')

    class Meta:
        ordering = ["-taken_at"]
        get_latest_by = "taken_at"
        constraints = [models.UniqueConstraint(fields=["database", "taken_at"], name="one_snapshot_at_a_time")]

    def __str__(self) -> str:
        return f"{self.database} at {self.taken_at:%Y-%m-%d %H:%M}"
