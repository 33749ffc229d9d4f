"""How good the outlines are: scores of films, their statistics, and how reliable the model's own estimate is."""
