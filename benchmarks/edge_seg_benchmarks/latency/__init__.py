"""Latency: a film stage by stage, a cold start, films back to back for minutes."""
