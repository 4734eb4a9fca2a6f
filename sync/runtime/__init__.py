"""The clock, stopping, a bounded number of threads, and when objects are collected."""
