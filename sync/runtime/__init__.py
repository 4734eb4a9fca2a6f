"""The clock, stopping, a bounded number of threads, and garbage collection."""
