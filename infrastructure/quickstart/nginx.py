"""The instance's own Nginx: its prefix and its main configuration."""

from __future__ import annotations

from infrastructure.quickstart.layout import Layout

INTERIM = """worker_processes auto;
pid {prefix}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {prefix}/temp/body;
    proxy_temp_path {prefix}/temp/proxy;
    fastcgi_temp_path {prefix}/temp/fastcgi;
    uwsgi_temp_path {prefix}/temp/uwsgi;
    scgi_temp_path {prefix}/temp/scgi;
    access_log off;
    server {{ listen 127.0.0.1:{port} default_server; return 444; }}
}}
"""


def prepare(layout: Layout, http_port: int) -> None:
    for name in ("conf", "sites", "run", "temp"):
        (layout.nginx / name).mkdir(parents=True, exist_ok=True)
    (layout.nginx / "conf" / "nginx.conf").write_text(INTERIM.format(prefix=layout.nginx, port=http_port))
