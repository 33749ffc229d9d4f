"""How long things take: a film stage by stage, a cold start, films one after another for minutes."""
