"""The command `consent`: finds the module of a command by its name and runs it.

A module of this package that has an attribute `command` is a command, named like the module with hyphens for
underscores: `api_keys.py` is `consent api-keys`. Only the module that is asked for is imported.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

import click

from consent_service import cli
from consent_service.errors import ConsentServiceError


class ModuleGroup(click.Group):
    """A group whose commands are the modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the modules that have a command."""
        names = sorted(module.name.rstrip("_").replace("_", "-") for module in pkgutil.iter_modules(cli.__path__))
        return [name for name in names if name != "main" and self.get_command(ctx, name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of the command; None when there is none."""
        del ctx
        names = {module.name for module in pkgutil.iter_modules(cli.__path__)}
        stem = cmd_name.replace("-", "_")
        module_name = next((name for name in (stem, f"{stem}_") if name in names), None)
        if module_name is None or module_name == "main":
            return None
        module = importlib.import_module(f"{cli.__name__}.{module_name}")
        command = getattr(module, "command", None)
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click gives back whatever a command returns.
        """Run the command; what the service refuses is a line and exit code 1, not a traceback."""
        try:
            return super().invoke(ctx)
        except ConsentServiceError as error:
            raise click.ClickException(str(error)) from None


@click.group(
    cls=ModuleGroup,
    epilog="The launcher adds: `test` runs all checks, `doctor` explains what is wrong on this machine.",
)
def consent() -> None:
    """Record consents, prove them, withdraw them, and answer whether a person may be contacted."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line of this process."""
    consent(args=arguments, prog_name="consent")


if __name__ == "__main__":
    main()
