"""Where results go: masks, overlay, record."""
