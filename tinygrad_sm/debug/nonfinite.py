"""To be written."""

from __future__ import annotations

from typing import Any


def numerics(*args: Any, **kwargs: Any) -> Any:
    """To be written."""
