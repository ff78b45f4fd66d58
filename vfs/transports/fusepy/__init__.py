"""The fusepy transport: libfuse 2 through ctypes, on Linux, macOS and BSD."""
