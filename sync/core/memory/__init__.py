"""What one cycle leaves to the next."""
