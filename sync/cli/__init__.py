"""What a person types: commands parse, call one thing below, print, and return an exit code."""
