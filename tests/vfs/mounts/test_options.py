"""Mount options: what `-o` and fstab put there, and what is said of the rest."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from vfs.mounts.options import MountOptions, OptionError, describe, parse_options, parse_size


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", MountOptions()),
        ("ro", MountOptions(ro=True)),
        ("ro,rw", MountOptions()),
        ("allow_other,xattr,threads", MountOptions(allow_other=True, xattr=True, threads=True)),
        ("nothreads,noxattr", MountOptions(threads=False)),
        ("uid=12,gid=13,umask=027", MountOptions(uid=12, gid=13, umask=0o27)),
        ("umask=0", MountOptions(umask=0)),
        ("attr_timeout=0.5,entry_timeout=0", MountOptions(attr_timeout=0.5, entry_timeout=0.0)),
        ("gid=4294967294,drain=2147483647", MountOptions(gid=4294967294, drain=2147483647.0)),
        ("spool_size=8191P", MountOptions(spool_size=8191 << 50)),
        ("size=1G,", MountOptions(size=1 << 30)),
        ("log_format=json", MountOptions(log_format="json")),
        ("on_change=reports.changes.told", MountOptions(on_change="reports.changes.told")),
        ("defaults,noauto,_netdev,nofail,nosuid,nodev,noatime,x-systemd.automount", MountOptions()),
        ("rw,sync,dirsync,lazytime,strictatime,nodiratime,mand,iversion,silent,owner,group,X-a.b", MountOptions()),
        ("noexec", MountOptions(noexec=True)),
        ("rw,noexec,nosuid,nodev,user", MountOptions(noexec=True)),
        ("users", MountOptions(noexec=True)),
        ("rw,nosuid,nodev,user,exec", MountOptions()),
    ],
)
def test_a_list_of_options(text: str, options: MountOptions) -> None:
    assert parse_options([text]) == options


def test_later_lists_win() -> None:
    assert parse_options(["ro,uid=1", "uid=2", "rw"]) == MountOptions(uid=2)


def test_what_is_not_said_is_as_before() -> None:
    before = MountOptions(ro=True, uid=1, spool="/here")
    assert parse_options(["rw", "gid=2"], over=before) == MountOptions(uid=1, gid=2, spool="/here")


def test_users_and_groups_by_name() -> None:
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    options = parse_options([f"uid={user.pw_name},gid={group.gr_name}"])
    assert (options.uid, options.gid) == (user.pw_uid, group.gr_gid)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("umaks=022", "unknown mount option 'umaks': did you mean 'umask'? valid are allow_other, "),
        ("zzz", "unknown mount option 'zzz': valid are "),
        ("uid", "the mount option 'uid' needs a value: uid=..."),
        ("size=", "the mount option 'size' needs a value"),
        ("ro=1", "the mount option 'ro' takes no value"),
        ("uid=nobody-is-called-so", "there is no user called 'nobody-is-called-so'"),
        ("gid=nobody-is-called-so", "there is no group called 'nobody-is-called-so'"),
        ("umask=0888", "'0888' is not an umask: write it in octal"),
        ("umask=-1", "'-1' is not an umask"),
        ("attr_timeout=soon", "the mount option 'attr_timeout': 'soon' is not a time: write seconds"),
        ("attr_timeout=-1", "'-1' is not a time"),
        ("attr_timeout=nan", "'nan' is not a time"),
        ("size=much", "'much' is not a size"),
        ("uid=4294967295", "'4294967295' is no number of a user: the last is 4294967294"),
        (f"gid={'9' * 400}", "is no number of a group"),
        ("drain=2147483648", "'2147483648' is too long: there are at most 2147483647 seconds"),
        (f"entry_timeout={'9' * 400}", "is too long"),
        ("size=8192P", "'8192P' is too much: a size is below 8192P"),
        (f"cache_size={'9' * 400}", "is too much"),
        ("on_change=told", "'told' is not the path of a function: write it with dots"),
        ("on_change=a.b:c", "'a.b:c' is not the path of a function"),
        ("log_format=xml", "'xml' is no format of a log: valid are text and json"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_options([text])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64k", 64 << 10),
        ("1.5G", 3 << 29),
        ("10GiB", 10 << 30),
        ("2 MB", 2 << 20),
        ("1t", 1 << 40),
        (" 1p ", 1 << 50),
    ],
)
def test_sizes_are_in_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1e9", "G", "1.G", "0x10", "1 000"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(OptionError):
        parse_size(text)


def test_only_what_was_chosen_is_described() -> None:
    assert describe(MountOptions()) == {}
    assert describe(MountOptions(ro=True, uid=0)) == {"ro": True, "uid": 0}
