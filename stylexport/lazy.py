"""Groups of commands that import a command's module, and with it any framework, only when the command runs."""

from __future__ import annotations

import importlib
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
        """The command, whose module is imported now; None where the table has no such name."""
        if name not in self.commands_table:
            return None
        command = importlib.import_module(f"{self.package}.{self.commands_table[name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the group's help, from the table: no module is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.commands_table.items()])


def lazy(package: str, table: Mapping[str, tuple[str, str]]) -> type[LazyGroup]:
    """The class of a group with these commands."""
    return type("Group", (LazyGroup,), {"package": package, "commands_table": table})
