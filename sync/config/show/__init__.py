"""The configuration as a person reads it: the example, the schema, the effective values."""
