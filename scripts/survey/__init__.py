"""Tries what each backend does by itself, as `vfs doctor` does, and writes it into storage/README.md.

backends   the storages that are tried, and the servers behind them
tables     what was found as Markdown, and its place in the file
"""
