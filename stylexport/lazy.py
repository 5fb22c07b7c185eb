"""Groups of commands that import a command's module, and with it any framework, only when the command runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """A group that knows its commands by name: `commands_table` maps each to its module under `package` and its line of help."""

    commands_table: Mapping[str, tuple[str, str]] = {}
    package = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(self.commands_table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command; a bare stand-in with its line of help where the group's own help is printed."""
        if name not in self.commands_table:
            return None
        module, line = self.commands_table[name]
        if ctx.resilient_parsing or (ctx.invoked_subcommand is None and name not in sys.argv[1:]):
            return click.Command(name, help=line)
        command = importlib.import_module(f"{self.package}.{module}").command
        assert isinstance(command, click.Command)
        return command


def lazy(package: str, table: Mapping[str, tuple[str, str]]) -> type[LazyGroup]:
    """The class of a group with these commands."""
    return type("Group", (LazyGroup,), {"package": package, "commands_table": table})
