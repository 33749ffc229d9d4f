"""The machine's peak performance, and how close a network comes to it."""
