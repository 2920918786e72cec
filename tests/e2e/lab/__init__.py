"""What the end-to-end suite needs around the edge: its guest, clients that look public, people, a browser."""
