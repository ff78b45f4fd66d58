"""What keeps a machine from mounting, and what a storage can do: looked at, tried, and told.

    checks       one thing that was looked at: fine, doubtful or wrong, and what to do
    machine      the kernel, the device, what mounts for ordinary users, limits
    folders      where a mount keeps what it must not lose, and what it need not fetch again
    surroundings the settings and the packages
    access       a storage is made, answers, and has the same time
    scratch      a directory of the storage in which things are tried, and which goes again
    operations   what is tried: each operation, how it is done and how long that takes
    rivals       stores under a condition that others come before
    examination  all of it, in order
    report       what was found, for people and for programs

Nothing here knows of the command line. What a storage does by itself is what it says (`Storage.does_itself`,
`Storage.holds`); what it refuses, and whether it keeps what it says, is found out by trying.
"""

from vfs.doctor.checks import Check, Status
from vfs.doctor.examination import examine
from vfs.doctor.operations import Operation
from vfs.doctor.report import Report

__all__ = ("Check", "Operation", "Report", "Status", "examine")
