"""A clinic's device: session, retention, health, service, page."""
