"""``causaljax fit``: a causal graph from a table."""

import contextlib
import dataclasses
import math
import sys
from typing import Any

import causaljax
from causaljax.cli import loading, report
from causaljax.cli.cache import enable_cache
from causaljax.cli.interrupts import shielded
from causaljax.cli.reply import Reply
from causaljax.estimators.methods import METHODS, make, method_name
from causaljax.tables import reading
from causaljax.tables.errors import CodedError, coded

_MEASURES = {
    "SHD": "shd",
    "SID": "sid",
    "skeleton F1": "skeleton_f1",
    "directed F1": "oriented_f1",
    "directions right": "direction_accuracy",
}


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser("fit", help="learn a causal graph from a table")
    parser.set_defaults(command=_fit)
    loading.add_data_options(parser)
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="left out, the one that `advise` suggests is taken",
    )
    loading.add_question_options(parser)
    parser.add_argument("--out", metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--report",
        metavar="FILE",
        nargs="?",
        const="",
        help=f"write an HTML page, {report.NAME} in --out if no FILE is given",
    )
    parser.add_argument(
        "--save-model",
        action="store_true",
        help="keep the fitted model in --out, as `effect` needs it; it may hold rows "
        "of the table",
    )
    loading.add_set_option(parser)


def _fit(options: Any, reply: Reply) -> None:
    if options.out is not None:
        with coded("unwritable_output"):
            causaljax.tables.files.check_writable(options.out)
    elif options.save_model:
        raise CodedError("usage", "--save-model: name the folder by --out")
    if (page := report.path_of(options.report, options.out)) is not None:
        report.check(page, options.out)
    estimator = None if options.method is None else _estimator(options)
    if options.method is None and options.set:
        raise CodedError(
            "usage", f"--set {options.set[0]}: name its method by --method"
        )
    if options.method is not None and (options.hidden_causes or options.domain):
        name = "--hidden-causes" if options.hidden_causes else "--domain"
        raise CodedError(
            "option_not_applicable",
            f"{name} serves the choice of a method, and --method {options.method} has "
            "chosen it: leave one out, or take --method fci, or --method cdnod with "
            "--set domain=COLUMN",
        )
    loading.check_seed(options)
    with reply.hearing():
        loaded = loading.load(options)
    reads_regimes = estimator is None or estimator._reads_regimes()
    if options.regimes_column is not None and not reads_regimes:
        raise CodedError(
            "option_not_applicable",
            f"--regimes-column: --method {options.method} as it is set reads no "
            "regimes; take --method latent-interventions, or --method neural with "
            "--set intervention=imperfect",
        )
    enable_cache(options, reply)
    known = reading.known(options, loaded)
    known["regimes"] = loaded.regimes if reads_regimes else None
    with reply.hearing(), _of_settings_or_data(estimator):
        if estimator is None:
            estimator = causaljax.discover(
                loaded.table,
                random_state=options.seed,
                **loading.question(options),
                **known,
            )
        else:
            estimator.fit(loaded.table, **known)
    record = _record(options, estimator, loaded, known["knowledge"])
    record["warnings"] = list(dict.fromkeys(reply.warned))  # reading's, too
    scores = None if loaded.truth is None else _scores(loaded, estimator)
    reply.run = _run(record)
    reply.result = _result(record, estimator, scores, loaded)
    show(reply, estimator, loaded.source, loaded.table.shape)
    if scores is not None:
        show_scores(reply, loaded, scores)
    if options.out is not None:
        reply.result["files"] = list(_write(options, estimator, record))
        written = ", ".join(reply.result["files"])
        reply.say(f"Wrote {written} to {options.out}")
    if page is not None:
        names = [str(name) for name in estimator.adjacency_]
        reply.result["report"] = report.write(page, estimator.edges_, names, record)
        reply.say(f"Wrote {page}")


def _estimator(options):
    """The method's estimator, its parameters set from --set and --seed."""
    estimator = make(options.method, loading.settings(options.set))
    return estimator.set_params(random_state=options.seed)


@contextlib.contextmanager
def _of_settings_or_data(estimator):
    """Tells by its first word whether a mistake is one of ``--set``.

    What the library says of a parameter begins with its name; what it says of a table
    does not.
    """
    names = {} if estimator is None else estimator.get_params()
    try:
        yield
    except (ValueError, TypeError) as error:
        first = str(error).partition(" ")[0]
        with coded("invalid_setting" if first in names else "invalid_data"):
            raise


def show(reply: Reply, estimator: Any, source: str, shape: tuple[int, int]) -> None:
    """The data, and what the estimator says of itself."""
    reply.say(f"{source}, {shape[0]} rows, {shape[1]} columns")
    encoding = (sys.stdout.encoding or "utf-8").lower()
    told = estimator._summary(ascii_only=not encoding.startswith("utf"))
    for line in told.split("\n"):
        reply.say(line)


def _scores(loaded, estimator):
    """Skeleton and directions apart; an open direction is half a hit of the latter."""
    names = list(estimator.adjacency_)  # some columns may have been left out
    truth = loaded.truth.loc[names, names]
    # Distances are those of the one graph, the rest of what is claimed of directions.
    compare = causaljax.reports.evaluation.compare_graphs
    graph = compare(truth, estimator.adjacency_)
    claims = compare(truth, estimator.cpdag_)
    rows = {"this graph": claims | {name: graph[name] for name in ("shd", "sid")}}
    rows |= causaljax.reports.evaluation.baselines(truth)
    return {
        "truth": loaded.truth_name,
        "edges": int(truth.to_numpy().sum()),
        "rows": {
            name: {measure: row[measure] for measure in _MEASURES.values()}
            for name, row in rows.items()
        },
    }


def show_scores(reply: Reply, loaded: reading.Loaded, scores: dict[str, Any]) -> None:
    """The table of what ``_scores`` found."""
    reply.show(
        ("", *_MEASURES),
        [
            [
                name,
                *(
                    "-" if math.isnan(score) else f"{score:.3g}"
                    for score in of.values()
                ),
            ]
            for name, of in scores["rows"].items()
        ],
        title=f"Against the {scores['truth']} of {scores['edges']} edges",
    )
    if loaded.caution:
        reply.say(loaded.caution)


def _write(options, estimator, record):
    with shielded(), coded("unwritable_output"):
        return causaljax.tables.files.write_results(
            options.out,
            estimator.edges_,
            [str(name) for name in estimator.adjacency_],
            record,
            save_model=estimator.save if options.save_model else None,
            **_regime_tables(estimator),
        )


def _regime_tables(estimator):
    """What there is to write of regimes, by the arguments of ``write_results``."""
    if not hasattr(estimator, "regimes_"):
        return {}
    table = causaljax.tables.files.regime_table(
        estimator.regimes_, estimator.regime_probabilities_
    )
    targets = estimator.intervention_targets_.rename_axis("regime")
    return {"regimes": table, "targets": targets}


def _record(options, estimator, loaded, knowledge):
    """What run.json holds."""
    return causaljax.estimators.record.run_record(estimator) | {
        "command": ["causaljax", *options.arguments],
        "data": reading.described(loaded),
        "interventions_column": options.interventions_column,
        "regimes_column": options.regimes_column,
        "weights_column": options.weights_column,
        "knowledge": {
            field: stated
            for field, stated in dataclasses.asdict(knowledge).items()
            if stated
        },
        "method": method_name(type(estimator).__name__),
    }


def _run(record):
    """The envelope's account of how the result came about."""
    given = ("interventions_column", "regimes_column", "weights_column", "knowledge")
    return {
        "settings": {"method": record["method"], **record["config"]},
        "seed": record["seed"],
        "device": record["device"],
        "data": record["data"] | {name: record[name] for name in given},
        "seconds": record["timings"]["fit_seconds"],
    }


def _result(record, estimator, scores, loaded):
    """The envelope's account of what was found."""
    result = {
        "method": record["method"],
        "columns": record["columns"],
        "variables": [str(name) for name in estimator.adjacency_],
        "edges": estimator.edges_.to_dict("records"),
        "notes": record["notes"],
        "diagnostics": record["convergence"],
        "comparison": scores and scores | {"caution": loaded.caution},
        "files": [],
    }
    if hasattr(estimator, "intervention_targets_"):
        result["intervention_targets"] = {
            str(regime): targets.to_dict()
            for regime, targets in estimator.intervention_targets_.iterrows()
        }
    return result
