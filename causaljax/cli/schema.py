"""``causaljax schema``: what every command prints with ``--json``, as a JSON Schema."""

import json
from collections.abc import Mapping
from typing import Any

from causaljax.cli.compare import turned
from causaljax.cli.reply import SCHEMA_VERSION, Reply
from causaljax.tables.edges import MARKS
from causaljax.tables.errors import CODES

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_FLAG = {"type": "boolean"}
_NUMBER = {"type": ["number", "null"], "description": "null: undefined or infinite"}
_ANY: dict[str, Any] = {}


def _maybe(schema):
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema):
    return {"type": "array", "items": schema}


def _by_name(schema):
    return {"type": "object", "additionalProperties": schema}


def _object(
    required: Mapping[str, Any], optional: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


_DATA = {"source": _TEXT, "rows": _WHOLE, "columns": _WHOLE, "sha256": _TEXT}
_COLUMNS_READ = _maybe(_list(_TEXT))
EDGE = _object(
    {
        "source": _TEXT,
        "target": _TEXT,
        "mark": {
            "enum": list(MARKS),
            "description": "; ".join(f"{mark}: {text}" for mark, text in MARKS.items()),
        },
        "probability": _NUMBER,
        "meaning": {**_TEXT, "description": "what kind of number the probability is"},
        "weight": _NUMBER,
        "effect_size": _NUMBER,
        "stability": _NUMBER,
        "why": _TEXT,
    }
)
"""A row of an estimator's ``edges_``."""

_COLUMN_READ = {
    "type": "object",
    "properties": {"name": _TEXT, "kind": _TEXT},
    "required": ["name", "kind"],
    "description": "how a column was read, as info_['columns']",
}
_SCORES = _by_name(_NUMBER)
_MARK = {
    "enum": [*dict.fromkeys([*MARKS, *map(turned, MARKS)]), None],
    "description": "as an edge's mark, read from left to right; null: not joined",
}

RESULTS: dict[str, Any] = {
    "fit": _object(
        {
            "method": _TEXT,
            "columns": _list(_COLUMN_READ),
            "variables": {**_list(_TEXT), "description": "the nodes of the graph"},
            "edges": _list(EDGE),
            "notes": _list(_TEXT),
            "diagnostics": _by_name(_ANY),
            "comparison": _maybe(
                _object(
                    {
                        "truth": _TEXT,
                        "edges": _WHOLE,
                        "rows": _by_name(_SCORES),
                        "caution": _TEXT,
                    }
                )
            ),
            "files": _list(_TEXT),
        },
        {"intervention_targets": _by_name(_by_name(_NUMBER)), "report": _TEXT},
    ),
    "batch": _object(
        {
            "folder": _TEXT,
            "work": _maybe(
                _object(
                    {
                        "process": _WHOLE,
                        "processes": _WHOLE,
                        "tasks": {**_WHOLE, "description": "of this process"},
                        "done": _WHOLE,
                        "failed": _WHOLE,
                        "seconds": _NUMBER,
                        "complete": {
                            **_FLAG,
                            "description": "whether all processes have ended",
                        },
                    }
                )
            ),
            "summary": _maybe(
                _object(
                    {
                        "tasks": _WHOLE,
                        "failed": _WHOLE,
                        "seconds": _NUMBER,
                        "threshold": _NUMBER,
                        "bound_holds": _FLAG,
                        "fits": _list(_by_name(_ANY)),
                        "stable_edges": _list(_by_name(_ANY)),
                        "failures": _list(_object({"task": _TEXT, "error": _TEXT})),
                    }
                )
            ),
            "files": _list(_TEXT),
        }
    ),
    "advise": _object(
        {
            "name": {**_TEXT, "description": "the value of --method"},
            "method": {**_TEXT, "description": "the estimator in Python"},
            "settings": _by_name(_ANY),
            "reasons": _list(_TEXT),
            "warnings": _list(_TEXT),
            "diagnostics": _by_name(_ANY),
        }
    ),
    "effect": _object(
        {
            "cause": _TEXT,
            "outcome": _TEXT,
            "change": {**_TEXT, "description": "of the cause, in words"},
            "unit": {**_TEXT, "description": "of the estimate, in words"},
            "identified": _FLAG,
            "reaches": {**_FLAG, "description": "whether a directed path leads there"},
            "estimate": _NUMBER,
            "interval": _maybe(_list(_NUMBER)),
            "level": {"type": "number"},
            "reason": {**_TEXT, "description": "why the effect is not identified"},
            "possible": _list(_NUMBER),
            "adjusted_for": _maybe(_list(_TEXT)),
            "method": _TEXT,
            "covers": {**_TEXT, "description": "what the interval takes into account"},
            "values": _maybe({"type": "array"}),
            "outcome_class": _ANY,
            "rows": _WHOLE,
            "warnings": _list(_TEXT),
        }
    ),
    "plot": _object({"file": _TEXT}),
    "report": _object({"file": _TEXT}),
    "compare": _object(
        {
            "truth": _object({"source": _TEXT, "edges": _WHOLE}),
            "graph": _object({"source": _TEXT, "edges": _WHOLE}),
            "variables": _list(_TEXT),
            "scores": _SCORES,
            "differences": _list(
                _object(
                    {"source": _TEXT, "target": _TEXT, "truth": _MARK, "graph": _MARK}
                )
            ),
        }
    ),
    "methods": _object(
        {
            "methods": _list(
                _object(
                    {
                        "name": _TEXT,
                        "estimator": _TEXT,
                        "what": _TEXT,
                        "parameters": _list(
                            _object({"name": _TEXT, "default": _ANY, "what": _TEXT})
                        ),
                    }
                )
            )
        }
    ),
    "datasets": _object(
        {
            "datasets": _list(
                _object(
                    {"name": _TEXT, "rows": _WHOLE, "columns": _WHOLE, "what": _TEXT}
                )
            )
        }
    ),
    "schema": {"type": "object", "description": "a JSON Schema"},
    "completion": _object({"shell": _TEXT, "script": _TEXT}),
}
"""What ``result`` holds, by the name of the command."""

_RUN = _object(
    {
        "arguments": {**_list(_TEXT), "description": "the words after `causaljax`"},
        "settings": {**_by_name(_ANY), "description": "as they were used"},
        "seed": _maybe(_WHOLE),
        "versions": _object({"causaljax": _TEXT, "jax": _TEXT, "python": _TEXT}),
        "warnings": _list(_TEXT),
    },
    {
        "device": _TEXT,
        "seconds": {"type": "number", "description": "that the fit took"},
        "data": _object(
            _DATA,
            {
                "interventions_column": _maybe(_TEXT),
                "regimes_column": _maybe(_TEXT),
                "weights_column": _maybe(_TEXT),
                "knowledge": _by_name(_ANY),
            },
        ),
    },
)
_ERROR = _object(
    {
        "code": {
            "enum": list(CODES),
            "description": "; ".join(f"{code}: {text}" for code, text in CODES.items()),
        },
        "message": _TEXT,
        "valid_options": _list(_TEXT),
        "did_you_mean": _maybe(_TEXT),
    }
)


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "schema", help="print the JSON Schema of what --json prints"
    )
    parser.set_defaults(command=_print)


def _print(options: Any, reply: Reply) -> None:
    del options
    reply.result = make_schema()
    reply.write(json.dumps(reply.result, indent=1))


def make_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the envelope that ``--json`` prints."""
    envelope = _object(
        {
            "schema_version": {"const": SCHEMA_VERSION},
            "command": {"enum": [*RESULTS, None]},
            "run": _RUN,
            "result": _ANY,
            "error": _maybe(_ERROR),
        }
    )
    failed = {"properties": {"error": {"type": "object"}, "result": {"type": "null"}}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "causaljax --json",
        **envelope,
        "anyOf": [
            failed,
            *(
                {
                    "properties": {
                        "command": {"const": command},
                        "result": {"$ref": f"#/$defs/{command}"},
                        "error": {"type": "null"},
                    }
                }
                for command in RESULTS
            ),
        ],
        "$defs": RESULTS,
    }
