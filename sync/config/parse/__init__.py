"""From YAML text to values, with the location of each."""
