from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('databases', '0004_deleting_backups'),
    ]

    operations = [
        migrations.AddField(
            model_name='backup',
            name='copy_tried_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
