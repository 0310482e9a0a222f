"""The JSON door for the controller's systems."""
