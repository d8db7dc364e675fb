# Written by tests/stubs.py from the registered operations; do not edit.


__all__: list[str] = []
