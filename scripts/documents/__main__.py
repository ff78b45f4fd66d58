"""Write all pages."""

from __future__ import annotations

from documents import ROOT, pages

for path, text in pages().items():
    (ROOT / path).write_text(text, encoding="utf-8")
    print(f"{path}: {len(text.splitlines())} lines")
