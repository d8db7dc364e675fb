"""Parts of the engine that are exchanged while a reader is open, which is why a reader that is closed costs nothing."""

from __future__ import annotations

import threading
from typing import Any

INHERITED = object()  # in the place of an attribute that its owner has from a base class


class Replaced:
    """Attributes that other functions or classes stand in for while anybody needs them to; then they are as they were.

    Args: replacements: (owner, name, what stands in for it). What is there now comes back in the end. Threads that are
    not meant pass through the replacements too, so these look for themselves whether they have anything to do.
    """

    def __init__(self, *replacements: tuple[Any, str, Any]) -> None:
        self._replacements = replacements
        self._originals = [(owner, name, vars(owner).get(name, INHERITED)) for owner, name, _ in replacements]
        self._users = 0
        self._lock = threading.RLock()  # a finaliser may call `release` in the midst of `acquire`

    def acquire(self) -> None:
        """Put the replacements in place, for one user more."""
        with self._lock:
            self._users += 1
            _set(self._replacements)

    def release(self) -> None:
        """One user less; after the last one the originals are back."""
        with self._lock:
            self._users -= 1
            if not self._users:
                _set(self._originals)


def _set(values: Any) -> None:
    for owner, name, value in values:
        if value is INHERITED:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
