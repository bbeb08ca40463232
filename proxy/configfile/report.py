"""Judge a parsed document by the model, and word what pydantic finds for the person who wrote it.

Three kinds of problems come together here, in the order of the file: what YAML refuses, what the
model refuses, and (where the model could be built) what contradicts itself.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from proxy.configfile.problems import Problem, join, may_be_shown
from proxy.configfile.strict_yaml import Document
from proxy.core.config import Config
from proxy.core.contradictions import contradictions

_NO_LINE: Final = 1 << 30
_SETTINGS: Final = "expected settings, each as 'name: value'"
_WORDINGS: Final = {
    "missing": "is required",
    "string_type": "expected text: quote it if it is a number or a word such as true",
    "model_type": _SETTINGS,
    "dict_type": "expected named entries, each as 'name: …'",
    "tuple_type": "expected a list",
    "int_type": "expected a whole number without quotes",
    "bool_type": "expected true or false",
}


def validate(document: Document) -> tuple[Config | None, list[Problem]]:
    """Build the config and list all that is wrong; the config may be there besides."""
    data = document.data
    if data is None:
        return None, document.problems or [
            Problem("", "the file is empty: farebox init writes one to start from")
        ]
    if not isinstance(data, dict):
        return None, [
            *document.problems,
            Problem("", _SETTINGS, 1),
        ]
    config: Config | None = None
    try:
        config = Config.model_validate(data)
        found = [
            Problem(path, text, line_of(path, document.lines))
            for path, text in contradictions(config)
        ]
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        found = _deepest([_problem(one, data, document.lines) for one in errors])
    return config, _sorted(document.problems, found)


def line_of(path: str, lines: Mapping[str, int]) -> int | None:
    """The line of a path, or of the nearest thing around it that stands in the file."""
    while path not in lines and path:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)


def _sorted(by_yaml: list[Problem], found: list[Problem]) -> list[Problem]:
    """In the order of the file; where YAML refused something, no second opinion is needed."""
    refused = tuple(problem.path for problem in by_yaml if problem.path)
    kept = list(by_yaml)
    for problem in found:
        if problem not in kept and not _is_within(problem.path, refused):
            kept.append(problem)
    return sorted(kept, key=lambda problem: problem.line or _NO_LINE)


def _deepest(found: list[Problem]) -> list[Problem]:
    """Without those about a whole value of which a part is named: they come from unions."""
    paths = {problem.path for problem in found}
    return [p for p in found if not any(_is_within(path, (p.path,)) for path in paths - {p.path})]


def _is_within(path: str, places: tuple[str, ...]) -> bool:
    return path in places or path.startswith(
        tuple(f"{place}{mark}" for place in places for mark in ".[")
    )


def _problem(error: Mapping[str, Any], data: object, lines: Mapping[str, int]) -> Problem:
    path, key = _path(error["loc"], data, missing=error["type"] == "missing")
    line = line_of(path, lines)
    if error["type"] != "extra_forbidden":
        return Problem(path, _wording(error), line)
    parent = path.removesuffix(f".{key}") if path != key else ""
    known = _known_keys(error["loc"][:-1])
    if not may_be_shown(parent, key):
        return Problem(parent, f"an unknown key: known here are {', '.join(known)}", line)
    close = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean {close[0]}?" if close else f"known here are {', '.join(known)}"
    return Problem(path, f"unknown key: {advice}", line)


def _path(steps: Sequence[str | int], whole: object, *, missing: bool) -> tuple[str, str]:
    """Write pydantic's location as a path of the file, without the steps that it adds itself."""
    path, last = "", ""
    data: Any = whole
    for index, step in enumerate(steps):
        in_list = isinstance(data, list) and isinstance(step, int)
        if in_list or (isinstance(data, dict) and step in data):
            data = data[step]
        elif not (missing and index == len(steps) - 1):
            continue
        path, last = join(path, step), str(step)
    return path, last


def _wording(error: Mapping[str, Any]) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return _WORDINGS.get(error["type"]) or str(error["msg"]).replace("Input should be", "expected")


def _known_keys(location: Iterable[str | int]) -> list[str]:
    """The settings that may stand at a location, found by walking the model."""
    model: type[BaseModel] = Config
    named = False
    for step in location:
        if isinstance(step, int):
            continue
        if named:
            named = False
        elif step in model.model_fields:
            annotation = model.model_fields[step].annotation
            named = get_origin(annotation) is dict
            model = _model_in(annotation) or model
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
