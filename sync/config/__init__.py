"""From YAML text to a checked configuration, with a place for each error."""
