"""The command line: the launcher's commands, the worker and the operators' tools."""
