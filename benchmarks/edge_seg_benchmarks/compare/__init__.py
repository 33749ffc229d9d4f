"""Reports beside each other, and the conditions under which a comparison fails."""
