"""From what was read to what is to be done, with the guards that hold a write back."""
