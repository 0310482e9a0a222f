"""The HTML door for the data subject."""
