"""The command line: commands parse their options, call one thing below, print, and return an exit code."""
