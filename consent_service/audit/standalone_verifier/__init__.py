"""Answers for verify.py, the one file with which a stranger verifies a bundle without this service."""

import ast
import collections
from pathlib import Path
from typing import Final

#: In this order they make one program; the docstring of the last one is the program's.
PARTS: Final = ("signatures", "trees", "bundles", "findings", "streams", "papers", "entries", "verification", "command")
_OURS: Final = "consent_service."


def program() -> str:
    """Return verify.py: the modules of this package in one text, which imports the standard library alone."""
    modules: set[str] = set()
    names: dict[str, set[str]] = collections.defaultdict(set)
    docstring, bodies = "", []
    for part in PARTS:
        text = Path(__file__).with_name(f"{part}.py").read_text("utf-8")
        tree, end = ast.parse(text), 0
        for statement in tree.body:
            if isinstance(statement, ast.Import):
                modules |= {alias.name for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom):
                names[statement.module or ""] |= {alias.name for alias in statement.names}
            elif end:
                break
            end = statement.end_lineno or end
        docstring = ast.get_docstring(tree) or ""
        heading = f"# {docstring.splitlines()[0]}\n\n" if part != PARTS[-1] else ""
        bodies.append(heading + "\n".join(text.splitlines()[end:]).strip("\n"))
    imports = [f"import {name}" for name in sorted(modules)]
    imports += [
        f"from {name} import {', '.join(sorted(names[name]))}" for name in sorted(names) if not name.startswith(_OURS)
    ]
    return "\n\n\n".join([f'"""{docstring}\n"""\n\n' + "\n".join(imports), *bodies]) + "\n"
