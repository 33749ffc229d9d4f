"""What the machine can do at most, and how near to it a network comes."""
