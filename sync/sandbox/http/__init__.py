"""The sandbox as an HTTP server, and its control API."""
