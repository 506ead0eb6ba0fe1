"""What is still open to a slot, read from the kernel."""

from __future__ import annotations

from pathlib import Path

# /proc/net/unix, column St (include/uapi/linux/net.h): waiting in the listener's backlog, connected. A connection is
# counted from the very connect(2) on, before any Nginx worker has accepted it.
IN_USE = ("02", "03")
LISTENING = 0x10000  # __SO_ACCEPTCON, column Flags


def open_connections(socket_path: Path) -> int:
    """Connections to the socket that was bound to this path, whichever worker (old or new) has them."""
    wanted = str(socket_path)
    count = 0
    with Path("/proc/net/unix").open(encoding="utf-8", errors="replace") as table:
        for line in table:
            if not line.rstrip("\n").endswith(wanted):
                continue
            fields = line.split(maxsplit=7)
            exact = len(fields) == 8 and fields[7].rstrip("\n") == wanted
            if exact and fields[5] in IN_USE and not int(fields[3], 16) & LISTENING:
                count += 1
    return count
