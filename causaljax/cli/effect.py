"""``causaljax effect``: what a cause does to an outcome, by a model that was kept."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import causaljax
from causaljax.cli import loading
from causaljax.cli.reply import Reply
from causaljax.tables import reading
from causaljax.tables.errors import CodedError, coded, unknown
from causaljax.tables.files import MODEL


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "effect", help="estimate the effect of one column on another"
    )
    parser.set_defaults(command=_effect)
    parser.add_argument(
        "folder", metavar="DIR", help="that `fit --out DIR --save-model` wrote"
    )
    parser.add_argument("cause", metavar="CAUSE", help="a column")
    parser.add_argument("outcome", metavar="OUTCOME", help="another")
    parser.add_argument(
        "--values",
        nargs=2,
        metavar=("A", "B"),
        help="of the cause: the effect of B instead of A; one unit more if left out",
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="the table to estimate from, read as that of the fit was; that one if "
        "left out",
    )


def _effect(options: Any, reply: Reply) -> None:
    model, record = _read(options.folder)
    names = [str(name) for name in model.adjacency_]
    for role in ("cause", "outcome"):
        given = getattr(options, role)
        if given not in names:
            what = f"{role}: the fit has no column {given!r}"
            raise unknown("unknown_column", what, given, names)
    with reply.hearing():
        loaded = _table(options, record)
        try:
            found = model.effect(
                options.cause,
                options.outcome,
                loaded.rows,
                values=options.values and tuple(options.values),
                interventions=loaded.interventions,
            )
        except ValueError as error:
            # What is wrong with the question begins with "effect:".
            asked = str(error).startswith("effect:")
            with coded("invalid_option" if asked else "invalid_data"):
                raise
    reply.run = {
        "settings": {
            "folder": options.folder,
            "cause": options.cause,
            "outcome": options.outcome,
            "values": options.values,
        },
        "data": reading.described(loaded),
    }
    reply.result = dataclasses.asdict(found)
    # The effect tells its own.
    reply.warned = [words for words in reply.warned if words not in found.warnings]
    for sentence in found.sentences:
        reply.say(sentence)


def _read(folder):
    """The model of a folder, and the record of its fit."""
    place = Path(folder)
    if not place.is_dir():
        raise CodedError("file_not_found", f"{folder}: no such folder")
    if not (place / MODEL).exists():
        raise CodedError(
            "unreadable_graph",
            f"{folder}: holds no {MODEL}; fit again with --out {folder} --save-model",
        )
    with coded("unreadable_graph"):
        model = causaljax.load(place / MODEL)
        try:
            record = json.loads((place / "run.json").read_text("utf-8"))
            return model, {name: record[name] for name in ("command", "data")}
        except (ValueError, LookupError, TypeError, OSError) as error:
            raise ValueError(
                f"{place / 'run.json'}: is no record of a fit ({error}); fit again"
            ) from None


def _table(options, record):
    """The table of the fit, or another that is read in the same way."""
    from causaljax.cli.command_line import make_parser

    fitted = make_parser().parse_args(record["command"][1:])
    if options.data is not None:
        fitted.data = options.data
    loaded = loading.load(fitted)
    if options.data is None and loaded.fingerprint != record["data"]["sha256"]:
        raise CodedError(
            "unreadable_data",
            f"{fitted.data}: is no longer the table of the fit; name the table to "
            "estimate from by --data",
        )
    return loaded
