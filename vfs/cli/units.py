"""The unit template of systemd, `vfs@ALIAS.service`: a mount as a service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vfs.cli.errors import CONFIGURATION

NAME = "vfs@.service"
MARK = "# Written by vfs install-helper."
_TEMPLATE = """{mark} A mount of a storage, by its alias:
#     systemctl{user} enable --now vfs@photos
# Where, and how, is said by {environment}/photos.env, which may also name another alias:
#     DIRECTORY=/srv/photos
#     OPTIONS=allow_other,cache_dir=/var/cache/photos,drain=60
#     ALIAS=photos
[Unit]
Description=The storage %i as a directory
After=network-online.target
Wants=network-online.target
# A server that is away is tried again for as long as it takes.
StartLimitIntervalSec=0

[Service]
# Ready when the directory answers. At its end it stores what is pending for as long as the option drain= says, and asks
# for the time; what is left is in the spool, and the next start goes on with it, as it does after a crash.
Type=notify
Environment="ALIAS=%i" "DIRECTORY={directory}/%i" OPTIONS=
EnvironmentFile=-{environment}/%i.env
ExecStartPre=-/bin/mkdir -p -- ${{DIRECTORY}}
ExecStart={command} mount --foreground -o ${{OPTIONS}} -- ${{ALIAS}} ${{DIRECTORY}}
ExecReload={command} reload -- ${{DIRECTORY}}
KillMode=mixed
TimeoutStopSec=30
Restart=on-failure
RestartSec=2
# Mistakes are not tried again: of the command, and of the configuration or the directory.
RestartPreventExitStatus={usage} {configuration}
{hardening}
[Install]
WantedBy={target}
"""
_HARDENING = """LimitNOFILE=1048576

# No option that gives the service mounts of its own (ProtectSystem=, PrivateTmp=, PrivateDevices= and the like): nobody
# else would see the directory. With User= take these away too: they imply NoNewPrivileges=, and fusermount3 needs more.
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
CapabilityBoundingSet=~CAP_AUDIT_CONTROL CAP_AUDIT_WRITE CAP_BLOCK_SUSPEND CAP_BPF CAP_MAC_ADMIN CAP_MAC_OVERRIDE
CapabilityBoundingSet=~CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_PACCT CAP_SYS_RAWIO
CapabilityBoundingSet=~CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_SYSLOG CAP_WAKE_ALARM
"""


def folder() -> Path:
    """Where units of the system are, or for all but root those of the user."""
    if os.geteuid() == 0:
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def text() -> str:
    """The template for the vfs that runs now, of the system for root, else of the user."""
    is_root = os.geteuid() == 0
    return _TEMPLATE.format(
        mark=MARK,
        user="" if is_root else " --user",
        environment="/etc/vfs" if is_root else "%E/vfs",
        directory="/srv" if is_root else "%h",
        command=" ".join(map(_quoted, [sys.executable, "-P", "-m", "vfs"])),
        hardening=_HARDENING if is_root else "",
        usage=click.UsageError.exit_code,
        configuration=CONFIGURATION,
        target="multi-user.target" if is_root else "default.target",
    )


def _quoted(word: str) -> str:
    """A word of ExecStart= that is taken as it is."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
