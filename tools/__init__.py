"""What is neither the program nor a test of it: generators, measurements and long runs."""
