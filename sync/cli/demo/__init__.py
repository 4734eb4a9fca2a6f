"""The demonstration and the sandbox command."""
