"""The account of a cycle: as a value, as JSON, and as log events."""
