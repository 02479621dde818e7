"""New heads for a dense encoder, from texts alone."""
