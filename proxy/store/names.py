"""What a request names that only the ledger knows: portraits, people, and whose an id is.

A name is put into the shape that providers know before anything is decided by it: a portrait's name
becomes its id, with its provider's usual model, and a person's session becomes their group. What is
known of the owners of ids goes to routing as signs.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from proxy.core.config import Config
from proxy.core.errors import Refusal
from proxy.core.paths import ENROL, JOBS, NO_PORTRAITS, PORTRAITS, SESSIONS
from proxy.core.routing import Signs, body_signs, job_id
from proxy.core.videos import with_usual_model
from proxy.store import portraits, sessions
from proxy.store.memory import recall
from proxy.store.portraits import ENROLLING, FAILED, Portrait
from proxy.store.sessions import Session


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as names go; `enrols` where a session in it is ours to read."""

    method: str
    path: str
    fields: Mapping[str, Any]
    header: str | None
    enrols: bool

    @property
    def names_a_portrait(self) -> bool:
        """Whether it is a video of somebody in the book."""
        return (self.method, self.path) == ("POST", JOBS) and "portrait" in self.fields

    @property
    def names_a_person(self) -> bool:
        """Whether it enrols somebody by their session."""
        is_enrolment = (self.method, self.path) == ("POST", ENROL)
        return self.enrols and is_enrolment and "session" in self.fields

    @property
    def names_somebody(self) -> bool:
        """Whether a name in it stands for what its provider knows otherwise."""
        return self.names_a_portrait or self.names_a_person

    @property
    def group_id(self) -> str | None:
        """The group of the person that it enrols, if it names one."""
        value = self.fields.get("group_id")
        is_enrolment = (self.method, self.path) == ("POST", ENROL)
        known = is_enrolment and isinstance(value, str) and value.isprintable()
        return str(value) if known else None

    @property
    def ids(self) -> tuple[tuple[str, str], ...]:
        """The assets and the job that it names."""
        _, assets = body_signs(self.fields)
        job = job_id(self.path)
        return (*(("asset", each) for each in assets), *([] if job is None else [("job", job)]))


@dataclass(frozen=True, slots=True)
class Named:
    """A request with its names made out. `fields` are its own where it had none.

    `story` is what its log line says of them.
    """

    fields: Mapping[str, Any]
    signs: Signs
    person: Session | None = None
    story: Mapping[str, object] = field(default_factory=dict)


def nothing_named(asked: Asked) -> Named | None:
    """What `make_out` gives for a request that names nothing; None for one that the ledger knows.

    Most requests are such, and need not wait for their turn there.
    """
    if asked.names_somebody or asked.ids or asked.group_id is not None:
        return None
    model, _ = body_signs(asked.fields)
    return Named(asked.fields, Signs(asked.path, asked.header, model, method=asked.method))


def make_out(db: sqlite3.Connection, asked: Asked, config: Config) -> Named | Refusal:
    """Put names into the providers' shapes, and gather the signs of where a request belongs."""
    if asked.names_a_portrait:
        return _with_portrait(db, asked, config)
    if asked.names_a_person:
        return _with_person(db, asked, config)
    return Named(asked.fields, _signs(db, asked, None))


def usable(db: sqlite3.Connection, name: str) -> Portrait | Refusal:
    """The portrait of a name (or an id), to be used in a video."""
    found = portraits.find(db, name) if name.isprintable() else ()
    if not found:
        return unknown(name)
    portrait = found[0]
    if portrait.status in (ENROLLING, FAILED):
        message = f"the portrait {name!a} cannot be used: it is {portrait.status}"
        return Refusal("portrait_unknown", message)
    return portrait


def portrait_word(path: str) -> str | None:
    """The id or name that a path asks for, if it asks for a portrait."""
    rest = path.removeprefix(f"{PORTRAITS}/")
    if rest in (path, "") or "/" in rest or rest in NO_PORTRAITS:
        return None
    return unquote(rest)


def asked_for(db: sqlite3.Connection, word: str, provider: str | None) -> Portrait | Refusal:
    """The portrait that a path names by its id or name; one of `provider`, if that is named."""
    found = portraits.find(db, word) if word.isprintable() else ()
    if not found:
        return unknown(word)
    own = next((each for each in found if provider in (None, each.provider)), None)
    if own is None:
        owner = f"portrait {word!a} is {found[0].provider}'s"
        message = f"{owner}, but Farebox-Provider says {provider}"
        return Refusal("route_conflict", message)
    return own


def unknown(name: str) -> Refusal:
    """Nobody in the book is called so."""
    return Refusal(
        "portrait_unknown", f"no portrait is called {name!a}: GET {PORTRAITS} lists them"
    )


def unknown_session(id_: str) -> Refusal:
    """Nobody's verification has this id."""
    return Refusal("portrait_unknown", f"no session is called {id_!a}: GET {SESSIONS} lists them")


def _with_portrait(db: sqlite3.Connection, asked: Asked, config: Config) -> Named | Refusal:
    """Where a video names a portrait, put its id there, and its provider's usual model."""
    fields = dict(asked.fields)
    name = fields.pop("portrait")
    if not isinstance(name, str) or "real_face_asset_id" in fields:
        message = "portrait is a name, and stands in place of real_face_asset_id"
        return Refusal("bad_request", message)
    portrait = usable(db, name)
    if isinstance(portrait, Refusal):
        return portrait
    fields["real_face_asset_id"] = portrait.id
    provider = config.providers.get(portrait.provider)
    model = None if provider is None else provider.default_video_model
    fields = dict(with_usual_model(asked.method, asked.path, fields, model))
    signs = _signs(db, replace(asked, fields=fields), None)
    return Named(fields, signs, story={"portrait": portrait.id})


def _with_person(db: sqlite3.Connection, asked: Asked, config: Config) -> Named | Refusal:
    """Where an enrolment names a session, put its person's group there.

    One whose person is not verified yet may have no group to put there: routing still learns whose
    it is.
    """
    fields = dict(asked.fields)
    id_ = fields.pop("session")
    if id_ is None:
        return Named(fields, _signs(db, replace(asked, fields=fields), None))
    if not isinstance(id_, str) or fields.get("group_id") is not None:
        message = "session is the id of a verified person's session, in place of group_id"
        return Refusal("bad_request", message)
    person = sessions.find(db, id_)
    if person is None:
        return unknown_session(id_)
    if person.provider not in config.providers:
        message = f"session {person.id} is {person.provider}'s, which is not configured"
        return Refusal("no_route", message)
    if person.group_id is not None:
        fields["group_id"] = person.group_id
    signs = _signs(db, replace(asked, fields=fields), person)
    return Named(fields, signs, person, {"session": person.id})


def _signs(db: sqlite3.Connection, asked: Asked, person: Session | None) -> Signs:
    model, assets = body_signs(asked.fields)
    known = {id_: tuple(each.provider for each in recall(db, kind, id_)) for kind, id_ in asked.ids}
    owners = {id_: providers for id_, providers in known.items() if providers}
    if (group := _group(db, asked, person)) is not None:
        assets, owners = (group[0], *assets), owners | dict([group])
    return Signs(asked.path, asked.header, model, assets, owners, asked.method)


def _group(
    db: sqlite3.Connection, asked: Asked, person: Session | None
) -> tuple[str, tuple[str, ...]] | None:
    """The person of an enrolment, where it is known who gave out their group: a sign too."""
    if person is not None:
        return person.group_id or person.id, (person.provider,)
    group_id = asked.group_id
    owners = () if group_id is None else sessions.owners(db, group_id)
    if group_id is None or not owners:
        return None
    return group_id, (asked.header,) if asked.header in owners else owners
