"""A log that only grows."""
