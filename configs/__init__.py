"""Shipped experiment configurations, one YAML file each."""
