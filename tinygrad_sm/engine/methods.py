"""The class on which registered operations become methods; `methods.pyi` lists them for editors and type checkers."""


class Operand:
    """What Tensor inherits from: an argument that makes a primitive hand its call over to `apply`."""

    __slots__ = ()
