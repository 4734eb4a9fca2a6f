"""What Meta is asked in a cycle, and what is learnt from the answers."""
