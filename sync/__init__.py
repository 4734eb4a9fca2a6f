"""Keeps Facebook Page tokens right in a company's secret store."""
