"""The configuration for people and editors: the example, the JSON Schema, the values in force."""
