#!/usr/bin/env bash
# Updates a server, or puts back what an update left that was cut off. Bakery starts it in a transient systemd unit of its
# own (bakery-update.service), so that restarting Bakery does not end it; systemd starts it again when it is killed.
#   update.sh run TASK     carry out the update that <data>/updates/TASK.json describes
#   update.sh recover      at boot: put back what a reboot cut off
# It runs out of the release that is being replaced, with that release's own Python: the new one may be broken.
set -euo pipefail
release=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
install_dir=$(dirname "$(dirname "$release")")
cd "$release"
umask 022
# install.sh holds the same lock: the two wait for each other. It is let go when this process ends, however it ends.
exec 9>/run/bakery-install.lock
flock 9
exec .venv/bin/python -m infrastructure.update "${1:?run or recover}" "$install_dir" "${@:2}"
