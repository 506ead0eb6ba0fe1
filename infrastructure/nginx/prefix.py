"""Where everything of one Nginx instance lies. Nginx is started with ``-p`` on the root of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SLOTS = ("blue", "green")
LONGEST_SOCKET = 107  # bytes of sun_path, without its NUL (unix(7))


@dataclass(frozen=True)
class Prefix:
    root: Path

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def configuration(self) -> Path:
        return self.conf / "nginx.conf"

    @property
    def started_with(self) -> str:
        """What ``-p`` says, against which paths in the configuration are relative. "": the package's own."""
        return str(self.root)

    @property
    def tested_by(self) -> tuple[str, ...]:
        """What starts ``nginx -t``: it opens every log that the configuration names."""
        return ()

    @property
    def candidate(self) -> Path:
        """The configuration that ``nginx -t`` sees: the main one, with ``candidate/`` in place of ``sites/``."""
        return self.conf / "candidate.conf"

    @property
    def generation(self) -> Path:
        return self.conf / "generation.conf"

    @property
    def libraries(self) -> Path:
        """Holds the LD_LIBRARY_PATH of an Nginx that was unpacked beside the system's libraries, or is not there."""
        return self.conf / "libraries"

    @property
    def sites(self) -> Path:
        return self.root / "sites"

    @property
    def candidate_sites(self) -> Path:
        return self.root / "candidate"

    @property
    def settings(self) -> Path:
        """What every server block of Bakery includes."""
        return self.conf / "settings.conf"

    @property
    def listen(self) -> Path:
        """Where every edge server listens."""
        return self.conf / "listen.conf"

    @property
    def panel(self) -> Path:
        return self.sites / "0-panel.conf"  # before every deployment's: the first to say a name has it

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def acme(self) -> Path:
        """What proves to an ACME server that a name leads here: the files of every site's /.well-known/."""
        return self.root / "acme"

    @property
    def listen_http(self) -> Path:
        """Visitors' addresses alone."""
        return self.conf / "listen-http.conf"

    @property
    def listen_https(self) -> Path:
        """The same for HTTPS. Not there: this Nginx cannot have the port."""
        return self.conf / "listen-https.conf"

    @property
    def tls(self) -> Path:
        return self.conf / "tls.conf"

    @property
    def tls_refused(self) -> Path:
        """What a server says for names that have no certificate."""
        return self.conf / "tls-refused.conf"

    @property
    def acme_location(self) -> Path:
        return self.conf / "acme.conf"

    @property
    def edge(self) -> Path:
        """What all sites need at http level for HTTPS; first of the sites."""
        return self.sites / "0-edge.conf"

    @property
    def written(self) -> Path:
        """What was written to the sites' files, to tell what somebody has changed in them."""
        return self.root / "written"

    @property
    def pid(self) -> Path:
        return self.root / "nginx.pid"

    @property
    def error_log(self) -> Path | None:
        """The machine's own, where it is its Nginx. None: it lies with Bakery's other logs."""
        return None

    @property
    def lock(self) -> Path:
        return self.root / "apply.lock"

    @property
    def pages(self) -> Path:
        return self.root / "pages"

    @property
    def temp(self) -> Path:
        return self.root / "temp"

    @property
    def control(self) -> Path:
        """Only Bakery's own account may enter: its sockets answer what no visitor is to see."""
        return self.root / "control"

    @property
    def control_socket(self) -> Path:
        """Answers with the generation that runs."""
        return self.control / "control.sock"

    @property
    def edge_socket(self) -> Path:
        """The edge once more, as visitors see it, but with the release named in a header."""
        return self.control / "edge.sock"

    @property
    def run(self) -> Path:
        return self.root / "run"

    def site(self, deployment_id: int) -> Path:
        return self.sites / f"{deployment_id}.conf"

    def pools(self, deployment_id: int) -> Path:
        return self.sites / f"{deployment_id}.pools.conf"

    def of(self, deployment_id: int) -> Path:
        return self.run / str(deployment_id)

    def live(self, deployment_id: int) -> Path:
        return self.of(deployment_id) / "live.sock"

    def socket(self, deployment_id: int, slot: str) -> Path:
        return self.of(deployment_id) / f"{slot}.sock"

    def release_link(self, deployment_id: int, slot: str) -> Path:
        return self.of(deployment_id) / f"{slot}.release"

    def releases(self, deployment_id: int) -> Path:
        return self.of(deployment_id) / "releases"

    def deployment_pages(self, deployment_id: int) -> Path:
        return self.of(deployment_id) / "pages"
