"""What one cycle remembers for the next."""
