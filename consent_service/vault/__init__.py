"""The rows of wrapped keys: create, open, destroy."""
