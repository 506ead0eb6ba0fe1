"""Leaves a file where the kernel ended a part of the unit that just ended, because its memory was used up.

Started by ``ExecStopPost=`` as ``python -I -S note_out_of_memory.py <file>``, in the unit's own control group, which is
gone a moment later. systemd itself forgets what ended a unit as soon as it restarts it, and under the first version of
control groups it never learns. Standard library only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # -I leaves it out
from infrastructure import cgroups

if os.environ.get("SERVICE_RESULT") == "oom-kill" or cgroups.own_oom_kills():
    Path(sys.argv[1]).touch(mode=0o600)
