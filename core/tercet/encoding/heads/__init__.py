"""How each representation is made of token states."""
