"""How good the outlines are: scores of films, their statistics, and how far the model knows it."""
