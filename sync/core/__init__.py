"""The judgement: values in, values out; no input, output, clock, thread or library."""
