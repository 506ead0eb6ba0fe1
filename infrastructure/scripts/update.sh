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
# install.sh holds the same lock. It is let go when this process ends, however it ends. Who recovers does not wait: an
# update that starts Bakery starts the unit that recovers as well, and would wait for it in turn.
exec 9>/run/bakery-install.lock
if [ "${1:-}" = recover ]; then
    flock --nonblock 9 || exit 0
else
    flock 9
fi
exec .venv/bin/python -m infrastructure.update "${1:?run or recover}" "$install_dir" "${@:2}"
