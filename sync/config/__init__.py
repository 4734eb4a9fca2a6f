"""The configuration: reads the files, and returns a checked configuration or every error with its location."""
