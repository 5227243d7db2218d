"""The command line: ``causaljax fit``, ``causaljax datasets``."""

import argparse
import ast
import math
import re
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import causaljax
from causaljax.cli.interrupts import (
    INTERRUPTED,
    leave,
    prompt_interrupts,
    shielded,
)

METHODS = {
    "linear": "LinearDAG",
    "continuous": "ContinuousDAG",
    "amortized": "AmortizedDAG",
    "neural": "NeuralDAG",
    "latent-interventions": "LatentInterventionDAG",
}
"""Names of ``--method`` and the estimators behind them."""

_CAUTION = (
    "Consensus graphs differ among themselves by SHD 4 to 6, and a graph without edges "
    "has SHD {edges}: a difference of a few edges says little about a method."
)
_LEAST_SHARE = 0.001  # of the rows, of a regime that is shown
_LIKELY = 0.5  # probability above which a target is shown
_WIDEST = 100_000  # characters of a table's line


def program() -> None:
    """The command: ``main``, and the end of the process."""
    leave(main())


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
      0; 2 after one line on a user's mistake; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        with prompt_interrupts():
            options.command(options)
    except (ValueError, TypeError) as error:
        print(f"causaljax: error: {_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("causaljax: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="causaljax", description=causaljax.__doc__)
    parser.add_argument(
        "--version", action="version", version=f"causaljax {causaljax.__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="learn a causal graph from a table")
    fit.set_defaults(command=_fit)
    fit.add_argument(
        "data", help="a .csv, .tsv or .parquet file, a data set's name, or a folder"
    )
    fit.add_argument(
        "--format",
        choices=["table", "dcdi"],
        default="table",
        help="dcdi: a folder of data_interv1.npy, intervention1.csv and so on",
    )
    fit.add_argument(
        "--number", type=int, help="which table of a folder to take, 1 if left out"
    )
    fit.add_argument("--method", choices=METHODS, default="linear")
    fit.add_argument("--out", metavar="DIR", help="folder for the results")
    fit.add_argument(
        "--interventions-column",
        metavar="C",
        help="column that names each row's intervention targets, separated by ';'",
    )
    fit.add_argument(
        "--regimes-column", metavar="C", help="column that labels each row's regime"
    )
    for kind in ("required", "forbidden"):
        fit.add_argument(
            f"--{kind}", metavar="FILE", help=f"table of {kind} edges: cause, effect"
        )
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument(
        "--no-cache",
        action="store_true",
        help="keep no compiled programs on disk, and load none",
    )
    fit.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a parameter of the method; may be repeated",
    )

    datasets = commands.add_parser("datasets", help="list the data sets that ship")
    datasets.set_defaults(command=_datasets)
    return parser


def _datasets(options):
    del options
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "rows", "columns", "what")
    for name, load in causaljax.tables.datasets.DATASETS.items():
        dataset = load()
        _add_row(table, name, *dataset.data.shape, dataset.description)
    Console().print(table)


def _fit(options):
    if options.out is not None:
        causaljax.tables.files.check_writable(options.out)
    estimator = _estimator(options)
    loaded = _load(options)
    reads_regimes = estimator._reads_regimes()
    if options.regimes_column is not None and not reads_regimes:
        raise ValueError(
            f"--regimes-column: --method {options.method} as it is set reads no "
            "regimes; take --method latent-interventions, or --method neural with "
            "--set intervention=imperfect"
        )
    if not options.no_cache:
        _enable_cache()
    table, source = loaded.table, loaded.source
    knowledge = causaljax.Knowledge(
        **{
            kind: causaljax.tables.files.read_edges(getattr(options, kind))
            for kind in ("required", "forbidden")
            if getattr(options, kind) is not None
        }
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        estimator.fit(
            table,
            interventions=loaded.interventions,
            regimes=loaded.regimes if reads_regimes else None,
            knowledge=knowledge,
        )
    for warning in caught:
        print(f"causaljax: warning: {_line(warning.message)}", file=sys.stderr)
    _show(estimator, source, table.shape)
    if loaded.truth is not None:
        _compare(loaded, estimator)
    if options.out is not None:
        with shielded():
            written = causaljax.tables.files.write_results(
                options.out,
                estimator.graph_,
                estimator.adjacency_,
                estimator.cpdag_,
                _record(options, estimator, source, table.shape),
                **_regime_tables(estimator),
            )
            print(f"Wrote {', '.join(written)} to {_line(options.out)}")


def _enable_cache():
    """Compiled programs go to disk; where they cannot, that is all that is lost."""
    try:
        causaljax.enable_compilation_cache()
    except ValueError as error:
        print(f"causaljax: warning: {_line(error)}, or --no-cache", file=sys.stderr)


def _regime_tables(estimator):
    """What there is to write of regimes, by the arguments of ``write_results``."""
    if not hasattr(estimator, "regimes_"):
        return {}
    table = causaljax.tables.files.regime_table(
        estimator.regimes_, estimator.regime_probabilities_
    )
    targets = estimator.intervention_targets_.rename_axis("regime")
    return {"regimes": table, "targets": targets}


def _estimator(options):
    """The method's estimator, its parameters set from --set and --seed."""
    estimator = getattr(causaljax.estimators, METHODS[options.method])()
    names = sorted(set(estimator.get_params()) - {"progress", "random_state"})
    for setting in options.set:
        name, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(f"--set {setting}: write KEY=VALUE")
        if name not in names:
            hint = causaljax.tables.knowledge.suggest(name, names)
            raise ValueError(f"--set {setting}: {options.method} has no {name}; {hint}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text  # a word such as logdet
        estimator.set_params(**{name: value})
    if not 0 <= options.seed < 2**32:
        raise ValueError(
            f"--seed {options.seed}: give a whole number from 0 to {2**32 - 1}"
        )
    return estimator.set_params(random_state=options.seed)


class _Loaded(NamedTuple):
    """What there is to learn from, and what is known of the answer."""

    table: pd.DataFrame
    source: str  # what it is
    interventions: Any = None  # as fit takes them, and so the regimes
    regimes: Any = None
    truth: pd.DataFrame | None = None
    truth_name: str = ""
    caution: str = ""  # what a comparison with the truth cannot show


def _load(options):
    """A file, a shipped data set, or one table of a folder."""
    data, datasets = options.data, causaljax.tables.datasets.DATASETS
    if options.format == "dcdi":
        return _load_dcdi(options)
    if options.number is not None:
        raise ValueError("--number: only folders have numbers; add --format dcdi")
    if data in datasets:
        dataset = datasets[data]()
        # Which rows are the observational part is what these would find out.
        whole = options.method == "latent-interventions"
        table = dataset.data if whole else dataset.observational
        part = "all rows, conditions hidden" if whole else "the observational part"
        # Intensities are positive and skewed; their logarithms are what is compared.
        loaded = _Loaded(
            table=table.map(np.log),
            source=f"{data} (log of {part})",
            truth=dataset.truth,
            truth_name="consensus graph",
            caution=_CAUTION.format(edges=int(dataset.truth.to_numpy().sum())),
        )
    elif Path(data).is_dir():
        raise ValueError(_about_folder(data))
    else:
        columns = options.interventions_column, options.regimes_column
        names = [column for column in columns if column is not None]
        loaded = _Loaded(causaljax.tables.files.read_table(data, names=names), data)
    table = loaded.table
    interventions = _take(table, options.interventions_column, "interventions")
    regimes = _take(table, options.regimes_column, "regimes")
    if interventions is not None:
        interventions = [_split(cell, table.columns) for cell in interventions]
    if regimes is not None:
        regimes = causaljax.tables.files.labels(regimes)
    return loaded._replace(interventions=interventions, regimes=regimes)


def _about_folder(folder):
    """What to do with a folder that nobody said the format of."""
    found = [path.name for path in Path(folder).glob("data*.npy")]
    numbers = [re.fullmatch(r"data(?:_interv)?([1-9]\d*)\.npy", name) for name in found]
    tables = sorted({int(number[1]) for number in numbers if number})
    if not tables:
        return f"{folder}: is a folder; give a file, or a folder with --format dcdi"
    first = "" if tables[0] == 1 else f" --number {tables[0]}"
    return (
        f"{folder}: is a folder that holds tables of DCDI, numbers {tables}: add "
        f"--format dcdi{first}"
    )


def _load_dcdi(options):
    for option in ("interventions", "regimes"):
        if getattr(options, f"{option}_column") is not None:
            raise ValueError(
                f"--{option}-column: a folder of --format dcdi has no such column; "
                f"its files say what the {option} are"
            )
    number = 1 if options.number is None else options.number
    read = causaljax.tables.dcdi_format.read_dcdi(options.data, number)
    names = [f"x{k}" for k in range(read.x.shape[1])]
    truth = read.graph
    if truth is not None:
        truth = pd.DataFrame(truth.astype(int), index=names, columns=names)
    return _Loaded(
        table=pd.DataFrame(read.x, columns=names),
        source=f"{options.data}, table {number}",
        interventions=read.intervened,
        regimes=read.regime,
        truth=truth,
        truth_name=f"graph DAG{number}.npy",
    )


def _take(table, column, option):
    """Removes a column from the table and returns it; None if none was named."""
    if column is None:
        return None
    if column not in table.columns:
        hint = causaljax.tables.knowledge.suggest(
            column, [str(name) for name in table.columns]
        )
        raise ValueError(f"--{option}-column: the table has no {column!r}; {hint}")
    return table.pop(column)


def _split(cell, columns):
    """The targets named in a cell; a whole column's name may itself hold a ';'."""
    if not isinstance(cell, str) or cell in columns:
        return cell
    return [name.strip() for name in cell.split(";") if name.strip()]


def _line(text):
    """Text of others on one line: what a terminal would obey is spelled out.

    So is what the output has no code for.
    """
    spelled = (
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
    )
    encoding = sys.stdout.encoding or "utf-8"
    return "".join(spelled).encode(encoding, "backslashreplace").decode(encoding)


def _add_row(table, *cells):
    """Adds cells as they are: nothing in them is markup."""
    from rich.text import Text

    table.add_row(*(Text(_line(cell)) for cell in cells))


def _print_table(table):
    """Prints a table as wide as it comes: names that are cut are others' names."""
    from rich.console import Console

    Console(width=_WIDEST).print(table)


def _show(estimator, data, shape):
    from rich.table import Table

    edges, seconds = estimator.graph_.number_of_edges(), estimator.info_["seconds"]
    print(f"{_line(data)}, {shape[0]} rows, {shape[1]} columns")
    print(f"{_line(repr(estimator))}: {edges} edges in {seconds:.1f} s")
    weighted = hasattr(estimator, "weights_")
    table = Table("source", "", "target", "probability", *["weight"] * weighted)
    for source, target, edge in estimator.graph_.edges(data=True):
        mark = "--" if edge["undirected"] else "->"
        numbers = [f"{edge['probability']:.2f}"]
        if weighted:
            numbers.append(f"{edge['weight']:.3g}")
        _add_row(table, source, mark, target, *numbers)
    _print_table(table)
    if hasattr(estimator, "regimes_"):
        _print_table(_regimes(estimator))
    for note in estimator._notes():
        print(_line(note))


def _regimes(estimator):
    """Regimes with rows: label, share of the rows, targets more likely than not."""
    from rich.table import Table

    table = Table("regime", "share", "targets")
    for name, targets in estimator.intervention_targets_.iterrows():
        share = estimator.regime_weights_[name]
        if share >= _LEAST_SHARE or name == estimator.reference_:
            hit = ", ".join(targets.index[targets > _LIKELY])
            _add_row(table, name, f"{share:.1%}", hit)
    return table


def _compare(loaded, estimator):
    """Skeleton and directions apart; an open direction is half a hit of the latter."""
    from rich.table import Table

    truth = loaded.truth
    columns = {
        "SHD": "shd",
        "SID": "sid",
        "skeleton F1": "skeleton_f1",
        "directed F1": "oriented_f1",
        "directions right": "direction_accuracy",
    }
    # Distances are those of the one graph, the rest of what is claimed of directions.
    compare = causaljax.reports.evaluation.compare_graphs
    graph = compare(truth, estimator.adjacency_)
    claims = compare(truth, estimator.cpdag_)
    rows = {"this graph": claims | {name: graph[name] for name in ("shd", "sid")}}
    rows |= causaljax.reports.evaluation.baselines(truth)
    edges = int(truth.to_numpy().sum())
    table = Table(
        "", *columns, title=f"Against the {loaded.truth_name} of {edges} edges"
    )
    for name, row in rows.items():
        cells = [
            "-" if math.isnan(row[measure]) else f"{row[measure]:.3g}"
            for measure in columns.values()
        ]
        _add_row(table, name, *cells)
    _print_table(table)
    if loaded.caution:
        print(_line(loaded.caution))


def _record(options, estimator, source, shape):
    import jax

    parameters = estimator.get_params()
    for name in ("progress", "random_state"):
        parameters.pop(name, None)
    info = dict(estimator.info_)
    return {
        "causaljax": causaljax.__version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "data": {"source": source, "rows": shape[0], "columns": shape[1]},
        "method": options.method,
        "config": parameters | info.pop("config"),
        "seed": info.pop("seed"),
        "timings": {"fit_seconds": info.pop("seconds")},
        "convergence": info,
    }
