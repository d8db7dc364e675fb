"""The class on which registered operations become methods; `methods.pyi` lists them for editors and type checkers."""

from __future__ import annotations


class Methods:
    """Ancestor of Tensor: `setattr(Methods, "exp", exp)` is all that makes `t.exp()` work."""

    __slots__ = ()
