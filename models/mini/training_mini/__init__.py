"""How `tercet/mini` is made: gte-small in int8, two trained heads, and weights for their sum."""
