"""How a derivative is known to be right, and why it is probably wrong where it is not."""
