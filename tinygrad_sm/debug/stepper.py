"""To be written."""

from __future__ import annotations

from typing import Any


def step(*args: Any, **kwargs: Any) -> Any:
    """To be written."""


def steps(*args: Any, **kwargs: Any) -> Any:
    """To be written."""
