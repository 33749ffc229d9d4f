"""What makes this project's own tables; no part of the wheel."""
