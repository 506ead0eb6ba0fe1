from django.db import migrations


def make_generated_names_primary(apps, schema_editor):
    """Every deployment has exactly one so far, the one that Bakery made for it."""
    apps.get_model("domains", "Domain").objects.filter(generated=True).update(primary=True)


class Migration(migrations.Migration):
    dependencies = [("domains", "0002_certificates")]

    operations = [migrations.RunPython(make_generated_names_primary, migrations.RunPython.noop)]
