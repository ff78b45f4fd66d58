from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from storage import SuspiciousFileOperation, get_valid_filename, validate_file_name
from storage.names import checked_name, filepath_to_uri, get_random_string, join_name, safe_join, split_name


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "a/.", "a/..", "/"])
def test_what_ends_in_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(SuspiciousFileOperation, match="Could not derive file name from"):
        validate_file_name(name, allow_relative_path=True)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../b", "a\\..\\b", "\\a"])
def test_a_name_that_leaves_the_root_is_refused(name: str) -> None:
    with pytest.raises(SuspiciousFileOperation, match="Detected path traversal attempt in"):
        validate_file_name(name, allow_relative_path=True)


def test_directories_are_only_allowed_when_asked_for() -> None:
    assert validate_file_name("a/b", allow_relative_path=True) == "a/b"
    with pytest.raises(SuspiciousFileOperation, match="File name 'a/b' includes path elements"):
        validate_file_name("a/b")


def test_a_name_is_given_back_as_it_is() -> None:
    path = Path("a") / "b"
    assert validate_file_name(path, allow_relative_path=True) is path  # type: ignore[arg-type]


def test_valid_filename() -> None:
    assert get_valid_filename("john's portrait in 2004.jpg ") == "johns_portrait_in_2004.jpg"
    assert get_valid_filename("ünïcode-_.txt") == "ünïcode-_.txt"


@pytest.mark.parametrize("name", ["", "..", "???", "$.$.$", "/"])
def test_no_valid_filename_can_be_made_of_nothing(name: str) -> None:
    with pytest.raises(SuspiciousFileOperation, match="Could not derive file name from"):
        get_valid_filename(name)


@pytest.mark.parametrize("name", ["", "/", "/a", "a/", "a//b", ".", "a/./b", "..", "a/../b", "a\0b"])
def test_names_that_are_not_plain(name: str) -> None:
    with pytest.raises(SuspiciousFileOperation):
        checked_name(name)


@pytest.mark.parametrize("name", ["a", "a/b", "...", "a\\b", " ", "%41", "\udcff", "-rf"])
def test_plain_names_pass_unchanged(name: str) -> None:
    assert checked_name(name) == name


def test_the_root_passes_only_where_it_is_allowed() -> None:
    assert checked_name("", allow_root=True) == ""
    with pytest.raises(SuspiciousFileOperation):
        checked_name("/", allow_root=True)


COMPONENTS = st.text(string.ascii_letters + ".\udcff", min_size=1).filter(lambda part: part not in (".", ".."))


@given(st.lists(COMPONENTS, min_size=1))
def test_splitting_and_joining_are_inverse(parts: list[str]) -> None:
    name = checked_name("/".join(parts))
    assert join_name(*split_name(name)) == name
    assert split_name(name)[1] == parts[-1]


@pytest.mark.parametrize("base", ["/srv/files", "/", "relative"])
def test_safe_join_stays_below_the_base(base: str) -> None:
    root = os.path.abspath(base)
    assert safe_join(base, "a", "b") == os.path.join(root, "a", "b")
    assert safe_join(base, "a/../b") == os.path.join(root, "b")
    assert safe_join(base, "") == root


@pytest.mark.parametrize("path", ["..", "../files2", "/etc", "a/../../b", "../../srv/files/../other"])
def test_safe_join_refuses_what_is_outside(path: str) -> None:
    with pytest.raises(SuspiciousFileOperation, match=r"is located outside of the base path component \(/srv/files\)"):
        safe_join("/srv/files", path)


def test_safe_join_refuses_a_null_character() -> None:
    with pytest.raises(SuspiciousFileOperation, match="null character"):
        safe_join("/srv", "a\0b")


def test_random_strings_have_the_length_and_the_characters() -> None:
    assert set(get_random_string(500, "ab")) == {"a", "b"}
    assert get_random_string(20) != get_random_string(20)
    assert get_random_string(50).isalnum()


def test_paths_in_urls() -> None:
    assert filepath_to_uri(None) is None
    assert filepath_to_uri("a b\\c#?.txt") == "a%20b/c%23%3F.txt"
    assert filepath_to_uri("ü~!*()'") == "%C3%BC~!*()'"
    assert filepath_to_uri("\udcff") == "%FF"
