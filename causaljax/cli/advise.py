"""``causaljax advise``: which method a table asks for."""

import dataclasses
from typing import Any

import causaljax
from causaljax.cli import loading
from causaljax.cli.cache import enable_cache
from causaljax.cli.reply import Reply
from causaljax.estimators.methods import method_name
from causaljax.tables import reading
from causaljax.tables.errors import coded


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser("advise", help="say which method a table asks for")
    parser.set_defaults(command=_advise, method=None)
    loading.add_data_options(parser)
    loading.add_question_options(parser)


def _advise(options: Any, reply: Reply) -> None:
    """What ``recommend`` says of a table."""
    loading.check_seed(options)
    with reply.hearing():
        loaded = loading.load(options)
    enable_cache(options, reply)
    known = reading.known(options, loaded) | {"regimes": loaded.regimes}
    with coded("invalid_data"):
        advice = causaljax.recommend(
            loaded.table,
            random_state=options.seed,
            **loading.question(options),
            **known,
        )
    method = method_name(advice.method)
    reply.run = {
        "settings": {"columns": known["columns"], "kinds": known["kinds"]},
        "seed": options.seed,
        "data": reading.described(loaded),
    }
    reply.result = {"name": method, **dataclasses.asdict(advice)}
    given = "".join(f" --set {key}={value}" for key, value in advice.settings.items())
    reply.say(f"{loaded.source}: --method {method}{given}")
    for reason in advice.reasons:
        reply.say(reason)
    for doubt in advice.warnings:
        reply.say(f"Caution: {doubt}")
