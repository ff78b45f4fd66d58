"""What counts as a file of a storage, and what as a local one."""

from __future__ import annotations

import pytest

from vfs.cli.targets import Target


@pytest.mark.parametrize(
    ("text", "alias", "name"),
    [
        ("media:", "media", ""),
        ("media:a/b", "media", "a/b"),
        ("media:/a//b/./c/", "media", "a/b/c"),
        ("media:a:b", "media", "a:b"),
        ("media:../a", "media", "../a"),
        ("my media:a\nb", "my media", "a\nb"),
        ("./a:b", None, "a:b"),
        ("/a:b", None, "a:b"),
        ("a/b:c", None, "a/b:c"),
        (":a", None, ":a"),
        ("plain", None, "plain"),
    ],
)
def test_a_word_before_the_first_colon_is_an_alias(text: str, alias: str | None, name: str) -> None:
    target = Target.parse(text)
    assert (target.alias, target.name) == (alias, name)


@pytest.mark.parametrize(
    ("text", "content", "directory"),
    [
        ("media:", True, True),
        ("media:a", False, False),
        ("media:a/", False, True),
        ("media:a/.", True, True),
        (".", True, True),
        ("..", True, True),
        ("a/..", True, True),
        ("/", True, True),
        ("a.", False, False),
    ],
)
def test_what_can_only_be_a_directory(text: str, content: bool, directory: bool) -> None:
    target = Target.parse(text)
    assert (target.is_content, target.says_directory) == (content, directory)
