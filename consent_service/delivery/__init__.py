"""What leaves the house after commit."""
