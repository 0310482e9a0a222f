"""The heart: asking, giving, withdrawing and checking consent."""
