"""The keys of the configuration, as models."""
