"""Names as text that is safe to show.

A name may hold anything but NUL and '/': newlines, what a terminal takes for a command, bytes that are no UTF-8.
What is not printable is shown as an escape, as `ls -b` does; a backslash is doubled, so that the text is unambiguous.
It is the same in a terminal and in a pipe: programs that need the names themselves ask for `--json` or `--zero`.
"""

from __future__ import annotations

_SHORT = {"\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r"}
_FIRST_ESCAPED_BYTE = 0xDC00
"""The surrogate that stands for byte 0, by Python's surrogateescape; those in use are 0xDC80 to 0xDCFF."""


def escape(name: str) -> str:
    """The name with backslashes doubled and all that is not printable as an escape."""
    return printable(name.replace("\\", r"\\"))


def printable(text: str) -> str:
    """Any text with what is not printable as an escape; for messages, which may quote names."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    """One character: \\n, \\x1b, \\xff for the byte 255, \\u202e, \\U000e0001."""
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - _FIRST_ESCAPED_BYTE:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
