"""Answers for keys, seals, links and secrets; knows no SQL, no Flask and no clock."""
