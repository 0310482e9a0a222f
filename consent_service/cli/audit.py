"""`consent audit`: what can be done with the log; each command has a module of its own."""

import click

from consent_service.cli import audit_bundle, audit_recover, audit_verify, audit_witness


@click.group()
def command() -> None:
    """Watch over the audit log."""


command.add_command(audit_bundle.bundle)
command.add_command(audit_recover.recover)
command.add_command(audit_verify.verify)
command.add_command(audit_witness.witness)
