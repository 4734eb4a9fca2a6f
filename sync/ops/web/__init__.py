"""The daemon's web server: health, the last report as JSON, metrics and a page for people."""
