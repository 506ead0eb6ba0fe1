"""What git's complaints mean, as one table."""

from __future__ import annotations

import re

from infrastructure.errors import Blame, Problem
from infrastructure.runner import CommandFailed

NO_SUCH_REF = "git.no-such-branch"
NOT_OFFERED = "git.commit-not-offered"  # known to git.py alone, which then asks in another way

# The first pattern that is found in git's output decides: (id, pattern, message, hint)
MEANINGS: tuple[tuple[str, str, str, str], ...] = (
    (
        "git.needs-password",
        (
            r"terminal prompts disabled|could not read (Username|Password)|Authentication failed"
            r"|Permission denied \(publickey"
            r"|returned error: 40[13]|Invalid username"
        ),
        "{url} does not exist, or it asks for a user name and password.",
        "Check the address. For a private repository link the account, or give this host's user a deploy key.",
    ),
    (
        "git.unreachable",
        (
            r"Could not resolve host|Connection refused|Connection timed out|Could not connect|Failed to connect"
            r"|No route to host|Network is unreachable|Host key verification failed|Operation too slow|[Cc]ertificate"
            r"|SSL|Connection reset|Connection closed|Empty reply|returned error: 5\d\d|RPC failed|early EOF"
        ),
        "The host of {url} could not be reached.",
        "Check the address and this host's network, then deploy again. The log has git's own words.",
    ),
    (
        NO_SUCH_REF,
        r"couldn't find remote ref",
        "{url} has no such branch, tag or commit.",
        "Choose another branch in the settings, or push it first.",
    ),
    (
        NOT_OFFERED,
        r"not our ref|unadvertised object|does not allow request for|dumb http transport does not support shallow",
        "{url} does not offer the commit.",
        "Choose another branch or commit.",
    ),
    (
        "git.not-found",
        (
            r"[Rr]epository .*not found|does not appear to be a git repository|not a git repository|returned error: 404"
            r"|No such file or directory|does not exist|unable to access|cannot open .*: Permission denied"
        ),
        "There is no git repository at {url}.",
        "Check the address for typing errors.",
    ),
)


def explain(url: str, failure: CommandFailed) -> Problem:
    output = failure.result.output
    for name, pattern, message, hint in MEANINGS:
        if re.search(pattern, output):
            return Problem(name, message.format(url=url), hint)
    last = (output.strip().splitlines() or ["it gave no reason"])[-1][:300]
    return Problem(
        "git.failed",
        f"git could not read {url}: {last}",
        "The log has all that git said.",
        blame=Blame.HOST,
    )


def no_such_ref(url: str, ref: str) -> Problem:
    return Problem(
        NO_SUCH_REF,
        f"{url} has no branch, tag or commit named {ref}.",
        "Choose another branch in the settings, or push it first.",
    )


def timed_out(url: str, seconds: float) -> Problem:
    return Problem(
        "git.timed-out",
        f"git got no complete answer from {url} within {seconds:g} s.",
        "Deploy again; if it stays so, check this host's network and the size of the repository.",
    )
