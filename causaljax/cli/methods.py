"""``causaljax methods``: the methods and their parameters."""

import inspect
import re
from typing import Any

from causaljax.cli.reply import Reply
from causaljax.estimators.methods import METHODS, make, parameter_names


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "methods", help="list the methods, their parameters and defaults"
    )
    parser.set_defaults(command=_list)


def _list(options: Any, reply: Reply) -> None:
    del options
    reply.result = {"methods": [_described(method) for method in METHODS]}
    for method in reply.result["methods"]:
        reply.say(f"{method['name']} ({method['estimator']}): {method['what']}")
        for parameter in method["parameters"]:
            first = re.split(r"(?<=\.) ", parameter["what"])[0].replace("``", "")
            reply.say(f"  {parameter['name']}={parameter['default']!r}: {first}")
    reply.say(
        "Set a parameter by --set NAME=VALUE; None leaves its value to the method."
    )


def _described(method):
    estimator = make(method)
    text = inspect.getdoc(type(estimator)) or ""
    defaults = estimator.get_params()
    told = _told_parameters(text)
    return {
        "name": method,
        "estimator": METHODS[method],
        "what": text.split("\n")[0],
        "parameters": [
            {"name": name, "default": defaults[name], "what": told.get(name, "")}
            for name in parameter_names(estimator)
        ],
    }


def _told_parameters(text):
    """What the ``Args`` of a docstring say of each parameter, on one line."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, flags=re.M | re.S)
    entries = re.findall(
        r"^  (\w+): (.*?)(?=^  \w+: |\Z)", section[1] if section else "", re.M | re.S
    )
    return {name: " ".join(words.split()) for name, words in entries}
