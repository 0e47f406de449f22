"""How good synthesised images are, in numbers."""
