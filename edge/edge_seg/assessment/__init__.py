"""How far a film and its outlines can be trusted, and what they measure."""
