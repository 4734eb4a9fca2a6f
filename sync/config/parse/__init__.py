"""From the text of the files to plain values, and from pydantic's errors to errors with a location."""
