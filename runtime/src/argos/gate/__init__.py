"""The gate: decides each request to a protected host, in a process of its own without the master key."""
