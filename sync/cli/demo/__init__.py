"""The ``demo`` and ``sandbox`` commands."""
