"""How long things take: a film stage by stage, a start, half an hour."""
