from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("databases", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="databasesnapshot",
            name="blocks_hit",
            field=models.PositiveBigIntegerField(
                default=0, help_text="The server's own count, for the next one to compare."
            ),
        ),
        migrations.AddField(
            model_name="databasesnapshot",
            name="blocks_read",
            field=models.PositiveBigIntegerField(default=0),
        ),
    ]
