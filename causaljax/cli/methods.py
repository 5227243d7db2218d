"""``causaljax methods``: the methods and their parameters."""

import inspect
import re
from typing import Any

import causaljax
from causaljax.cli.reply import Reply

METHODS = {
    "linear": "LinearDAG",
    "mixed": "MixedDAG",
    "continuous": "ContinuousDAG",
    "amortized": "AmortizedDAG",
    "neural": "NeuralDAG",
    "latent-interventions": "LatentInterventionDAG",
}
"""Names of ``--method`` and the estimators behind them."""

_OWN = {"progress", "random_state"}  # parameters that the command line sets itself


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "methods", help="list the methods, their parameters and defaults"
    )
    parser.set_defaults(command=_list)


def method_name(estimator: str) -> str:
    """The name of ``--method`` for that of an estimator."""
    return next(name for name, known in METHODS.items() if known == estimator)


def make(method: str) -> Any:
    """An estimator with its defaults, by the name of its method."""
    return getattr(causaljax.estimators, METHODS[method])()


def parameter_names(estimator: Any) -> list[str]:
    """The parameters that ``--set`` may change."""
    return sorted(set(estimator.get_params()) - _OWN)


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
