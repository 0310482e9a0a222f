"""Manners that the web doors share."""
