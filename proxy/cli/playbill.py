"""How the demo is told: numbered scenes, each call as the curl command that does the same.

On a terminal it appears as it happens; for programs the same is kept and printed once, as JSON.
"""

import json
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from proxy.cli.layout import short
from proxy.cli.stage import Answer, Stage

WIDTH: Final = 78
INDENT: Final = "   "
HANGING: Final = "    "
ONE_LINE: Final = 66
"""A body longer than this is written over several lines."""
BODY_SHOWN: Final = 300
"""So much of an answer that has none of the expected fields."""

_LONG: Final = re.compile(r"(?:0x|pay_)[0-9a-f]{24,}")
_COLOURS: Final = {2: "green", 4: "yellow", 5: "red"}


class Playbill:
    """Tells the demo. `scenes` is what was told, for programs."""

    def __init__(self, *, quiet: bool) -> None:
        self.scenes: list[dict[str, Any]] = []
        self._quiet = quiet
        self._color = False if os.environ.get("NO_COLOR") else None

    def line(self, text: str = "", **style: Any) -> None:  # noqa: ANN401 - click.style's
        """Print one line, or an empty one."""
        if not self._quiet:
            click.echo(click.style(text, **style) if style else text, color=self._color)

    def text(self, text: str, **style: Any) -> None:  # noqa: ANN401 - click.style's
        """Print a paragraph."""
        self.line(_filled(text, INDENT, INDENT), **style)

    def block(self, text: str, **style: Any) -> None:  # noqa: ANN401 - click.style's
        """Print lines as they are, indented: what somebody may copy."""
        self.line(textwrap.indent(text, INDENT), **style)

    def folded(self, text: str, **style: Any) -> None:  # noqa: ANN401 - click.style's
        """Print lines, those that are too long folded."""
        for line in text.splitlines():
            self.line(_filled(line, INDENT, INDENT + HANGING), **style)

    def scene(self, title: str, words: str) -> None:
        """Begin the next scene."""
        number = len(self.scenes) + 1
        self.scenes.append({"number": number, "title": title, "calls": [], "shown": []})
        self.line()
        heading = f"{number}  {title}"
        self.line(heading, bold=True, fg="cyan")
        self.line("─" * len(heading), fg="cyan", dim=True)
        self.text(words)
        self.line()

    def shown(self, text: str) -> None:
        """Say what a scene has shown: it was checked before."""
        self.scenes[-1]["shown"].append(text)
        tick = click.style("✓", fg="green", bold=True)
        self.line(f"{INDENT}{tick} {_filled(text, INDENT + '  ', INDENT + '  ').lstrip()}")

    async def call(
        self,
        here: Stage,
        method: str,
        url: str,
        body: Mapping[str, object] | None = None,
        *,
        shows: tuple[str, ...] = (),
        meanwhile: str = "",
    ) -> Answer:
        """Show a call as a curl command, make it, and show the fields of the answer that matter."""
        self.block(_curl(method, url, body), bold=True)
        if meanwhile:
            self.block(f"… {meanwhile}", dim=True)
        answer = await here.call(method, url, body)
        self.scenes[-1]["calls"].append(_as_json(method, url, body, answer))
        self._answer(answer, shows)
        return answer

    def _answer(self, answer: Answer, shows: tuple[str, ...]) -> None:
        self.block(f"{answer.status} {answer.reason}", fg=_COLOURS.get(answer.status // 100))
        for name in ("Farebox-Payment", "Farebox-Error", "Retry-After"):
            if name in answer.headers:
                self.folded(f"{name}: {abridged(answer.headers[name])}", dim=True)
        self.folded(_excerpt(answer.body, shows), dim=True)
        self.line()


def abridged(text: str) -> str:
    """A text with its long hashes and ids cut in the middle."""
    return _LONG.sub(lambda match: short(match[0]), text)


def _filled(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _curl(method: str, url: str, body: Mapping[str, object] | None) -> str:
    if body is None:
        return f"$ curl {url}"
    written = json.dumps(body)
    if len(written) > ONE_LINE:
        written = textwrap.indent(json.dumps(body, indent=2), " " * 4).lstrip()
    verb = "" if method == "POST" else f"-X {method} "
    return f"$ curl {verb}{url} \\\n    -H 'Content-Type: application/json' \\\n    -d '{written}'"


def _excerpt(body: Any, paths: tuple[str, ...]) -> str:  # noqa: ANN401 - JSON
    """The fields of an answer that matter; its beginning, where it has none of them."""
    found = [picked for path in paths if (picked := _pick(body, path.split("."))) is not None]
    if not found:
        return abridged(json.dumps(body))[:BODY_SHOWN]
    members = [abridged(json.dumps(picked))[1:-1] for picked in found]
    return "{ " + ",\n  ".join(members) + ", … }"


def _pick(body: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    """Cut everything from a JSON answer but one field; None where that is not in it."""
    if not path:
        return body
    step, *rest = path
    if isinstance(body, dict) and step in body:
        picked = _pick(body[step], rest)
        return None if picked is None else {step: picked}
    if isinstance(body, list) and step.isdigit() and int(step) < len(body):
        picked = _pick(body[int(step)], rest)
        return None if picked is None else [picked]
    return None


def _as_json(method: str, url: str, body: object, answer: Answer) -> dict[str, Any]:
    request = {"method": method, "url": url} | ({} if body is None else {"body": body})
    found: dict[str, Any] = {"request": request, "status": answer.status, "answer": answer.body}
    return found | ({"payment": answer.payment} if answer.payment else {})
