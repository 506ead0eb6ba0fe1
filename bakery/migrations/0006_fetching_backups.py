from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bakery', '0005_databases'),
    ]

    operations = [
        migrations.AlterField(
            model_name='task',
            name='kind',
            field=models.CharField(choices=[('deploy', 'Deploy'), ('rollback', 'Roll back'), ('restart', 'Restart'), ('stop', 'Stop'), ('start', 'Start'), ('delete', 'Delete'), ('apply-routes', 'Apply routes'), ('update', 'Update'), ('certificate', 'Certificate'), ('create-database', 'Create database'), ('change-database', 'Change database'), ('rotate-password', 'Rotate password'), ('back-up', 'Back up'), ('restore', 'Restore'), ('test-restore', 'Test a restore'), ('fetch-backup', 'Fetch a backup'), ('clone-database', 'Clone database'), ('drop-database', 'Drop database')], max_length=20),
        ),
    ]
