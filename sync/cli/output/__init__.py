"""Results for a person and for a program."""
