"""What all sites of the machine's own Nginx share, as this version of Bakery writes it.

An update of Bakery brings other templates, and going back brings the older ones again: so these files are looked at
with each change of a site, and are part of it. What was decided when Bakery moved in is read from the files themselves.
"""

from __future__ import annotations

from pathlib import Path

from infrastructure.files import read_if_there
from infrastructure.nginx.config import HASH_SIZES, http_config, settings_config
from infrastructure.nginx.directives import in_text
from infrastructure.nginx.panel import panel_config, panel_in
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.system_prefix import SystemPrefix
from infrastructure.nginx.tls import Listening, https_files


def shared_files(prefix: Prefix, listening: Listening) -> dict[Path, str]:
    """None for a private instance, which gets them when it is started, nor for a machine that was not prepared."""
    if not isinstance(prefix, SystemPrefix) or not (http_part := read_if_there(prefix.http_part)):
        return {}
    sizes = [found.name for found in in_text(http_part) if found.name in HASH_SIZES]
    files = {
        **https_files(prefix, listening),
        prefix.http_part: http_config(prefix, sizes),
        prefix.settings: settings_config(),
    }
    if panel := read_if_there(prefix.panel):
        files[prefix.panel] = panel_config(prefix, panel_in(panel), listening)
    return files
