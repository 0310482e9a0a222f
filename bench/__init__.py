"""Compares the service with its ceiling, its floor and a peer on one machine: `python -m bench --help`."""
