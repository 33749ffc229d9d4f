"""What a film costs on 64-bit ARM without a board: instructions counted under emulation. Never called time."""
