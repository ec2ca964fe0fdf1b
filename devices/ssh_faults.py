"""What OpenSSH's client says when it cannot connect, and what that means."""

from __future__ import annotations

import re
from collections.abc import Callable

from edgebert.errors import DeviceError

#: The last that ssh says when what it was to go through ended: another ssh, by ProxyJump, has told why before.
_ON_THE_WAY = re.compile("kex_exchange_identification|Connection closed by UNKNOWN|banner exchange")

#: What ssh says -> what that means, and what to do. The first that is found counts.
_FAULTS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key has changed: it was set up anew, or another machine answers in its place",
        "if you know why: ssh-keygen -R {address}, then connect once by hand and compare the fingerprint: ssh {host}",
    ),
    (
        "Host key verification failed|key is known for",
        "its host key is not known here",
        "connect once by hand and compare the fingerprint: ssh {host}",
    ),
    (
        "Permission denied|Too many authentication failures",
        "it does not let us in with our key",
        "copy your key there: ssh-copy-id {host}; a key with a passphrase wants an agent: ssh-add",
    ),
    (
        "Could not resolve hostname",
        "there is no host of that name",
        "check the name, the network, and the Host lines of ~/.ssh/config",
    ),
    (
        "administratively prohibited",
        "this host lets nobody through to others",
        "AllowTcpForwarding and PermitOpen of its sshd_config decide about that",
    ),
    (
        "Connection refused",
        "it is there, but takes no ssh connections",
        "turn ssh on there: sudo systemctl enable --now ssh (and check the port)",
    ),
    (
        "No route to host|Network is unreachable|Host is down|timed out|not responding",
        "it is not reachable",
        "is it switched on, and in this network?",
    ),
    (
        "[Bb]ad configuration option|Bad owner or permissions|[Cc]an't open user config|terminating,",
        "the ssh configuration cannot be used",
        "mend the file that the message names",
    ),
)  # fmt: skip


def cannot_connect(name: str, host: str, said: str, way: Callable[[], str | None]) -> DeviceError:
    """The error to raise for a connection that did not come about.

    Args:
        name: of the device, for messages.
        host: as the user names it to ssh.
        said: what ssh said, a line at least.
        way: tells the hosts that it is reached by, if any.
    """
    lines = said.splitlines()
    for pattern, what, hint in _FAULTS:
        if line := next((line for line in lines if re.search(pattern, line)), None):
            # What the host on the way tells of this one ("open failed: connect failed") is no fault of its own.
            told_before = line != lines[-1] and "connect failed" not in line
            by = way() if told_before and _ON_THE_WAY.search(lines[-1]) else None
            where = f"on the way there, at {by}: {what}" if by else what
            mend = hint.format(host=by or host, address=(by or host).rpartition("@")[2])
            return DeviceError(f"{name}: {where} ({line.strip()})", mend)
    return DeviceError(f"{name} cannot be reached: {lines[-1]}", f"what does this say: ssh {host} true")
