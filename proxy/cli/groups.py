"""A command with sub-commands, one of which is meant when none is named."""

from typing import Any

import click


class DefaultGroup(click.Group):
    """A group that runs `default` where no other of its commands is named.

    Options may stand before the command's name: they belong to it all the same.
    """

    def __init__(self, *args: Any, default: str, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move the command's name to the front, or put the default's there."""
        named = next((word for word in args if word in self.commands), None)
        if named is not None:
            at = args.index(named)
            args = [named, *args[:at], *args[at + 1 :]]
        elif not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self._default, *args]
        return super().parse_args(ctx, args)
