"""What is wrong with this edge, and what to do about it, in plain words."""
