"""Cost of a film on 64-bit ARM without a board: instructions counted under emulation, which are not time."""
