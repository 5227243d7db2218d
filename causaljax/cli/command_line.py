"""The command line: ``causaljax fit``, ``causaljax datasets``."""

import argparse
import ast
import dataclasses
import json
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
from causaljax.reports.summary import spelled

METHODS = {
    "linear": "LinearDAG",
    "mixed": "MixedDAG",
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
_WIDEST = 100_000  # characters of a table's line


def program() -> None:
    """The command: ``main``, and the end of the process."""
    leave(main())


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
      0; 2 after one line on a user's mistake; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.arguments = arguments
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
    _add_data_options(fit)
    fit.add_argument(
        "--method",
        choices=METHODS,
        help="left out, the one that `advise` suggests is taken",
    )
    fit.add_argument("--out", metavar="DIR", help="folder for the results")
    fit.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a parameter of the --method; may be repeated",
    )

    advise = commands.add_parser("advise", help="say which method a table asks for")
    advise.set_defaults(command=_advise, method=None)
    _add_data_options(advise)
    advise.add_argument("--json", action="store_true", help="print JSON")

    datasets = commands.add_parser("datasets", help="list the data sets that ship")
    datasets.set_defaults(command=_datasets)
    return parser


def _add_data_options(parser):
    """What ``fit`` and ``advise`` are told of a table."""
    parser.add_argument(
        "data", help="a .csv, .tsv or .parquet file, a data set's name, or a folder"
    )
    parser.add_argument(
        "--format",
        choices=["table", "dcdi"],
        default="table",
        help="dcdi: a folder of data_interv1.npy, intervention1.csv and so on",
    )
    parser.add_argument(
        "--number", type=int, help="which table of a folder to take, 1 if left out"
    )
    parser.add_argument(
        "--interventions-column",
        metavar="C",
        help="column that names each row's intervention targets, separated by ';'",
    )
    parser.add_argument(
        "--regimes-column", metavar="C", help="column that labels each row's regime"
    )
    parser.add_argument(
        "--weights-column",
        metavar="C",
        help="column that says how many rows each row stands for",
    )
    parser.add_argument(
        "--with-interventions",
        action="store_true",
        help="of a shipped data set: its known targets, and its conditions as regimes",
    )
    for option, text in (
        ("columns", "columns to take, separated by ','"),
        ("drop", "columns to leave out, separated by ','"),
        ("kinds", "how to read columns, as sex=categorical,age=count"),
    ):
        parser.add_argument(
            f"--{option}",
            metavar="LIST",
            action="append",
            default=[],
            help=f"{text}; may be repeated",
        )
    parser.add_argument("--separator", metavar="S", help="of fields, as ';' or tab")
    parser.add_argument(
        "--decimal", choices=[".", ","], help="decimal mark of the file"
    )
    parser.add_argument(
        "--no-header", action="store_true", help="the file's first row is no header"
    )
    parser.add_argument(
        "--knowledge",
        metavar="FILE",
        help="a .toml file of required, forbidden, tiers, forbidden_within, roots, "
        "sinks and groups, or a table of edges: cause, effect and, if not all are "
        "required, kind",
    )
    for kind in ("required", "forbidden"):
        parser.add_argument(
            f"--{kind}",
            metavar="FILE",
            help=f"table of {kind} edges: cause, effect; * in a name is any text",
        )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="keep no compiled programs on disk, and load none",
    )


def _datasets(options):
    del options
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "rows", "columns", "what")
    for name, load in causaljax.tables.datasets.DATASETS.items():
        dataset = load()
        _add_row(table, name, *dataset.data.shape, dataset.description)
    Console().print(table)


def _advise(options):
    """What ``recommend`` says of a table."""
    _check_seed(options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        loaded = _load(options)
    if not options.no_cache:
        _enable_cache()
    known = _known(options, loaded) | {"regimes": loaded.regimes}
    advice = causaljax.recommend(loaded.table, random_state=options.seed, **known)
    if options.json:
        print(json.dumps(dataclasses.asdict(advice), indent=1))
        return
    for warning in caught:
        print(f"causaljax: warning: {_line(warning.message)}", file=sys.stderr)
    method = _method_name(advice.method)
    given = "".join(f" --set {key}={value}" for key, value in advice.settings.items())
    print(f"{_line(loaded.source)}: --method {method}{given}")
    for reason in advice.reasons:
        print(_line(reason))
    for doubt in advice.warnings:
        print(f"Caution: {_line(doubt)}")


def _method_name(estimator):
    """The name of ``--method`` for that of an estimator."""
    return next(name for name, known in METHODS.items() if known == estimator)


def _known(options, loaded):
    """What ``fit`` is told beside the table and its regimes."""
    names = loaded.table.columns
    return {
        "interventions": loaded.interventions,
        "knowledge": _knowledge(options, names),
        "kinds": _kinds(options.kinds, names),
        "columns": _names(options.columns, names) or None,
        "sample_weight": loaded.weights,
    }


def _fit(options):
    if options.out is not None:
        causaljax.tables.files.check_writable(options.out)
    estimator = None if options.method is None else _estimator(options)
    if options.method is None and options.set:
        raise ValueError(f"--set {options.set[0]}: name its method by --method")
    _check_seed(options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        loaded = _load(options)
    reads_regimes = estimator is None or estimator._reads_regimes()
    if options.regimes_column is not None and not reads_regimes:
        raise ValueError(
            f"--regimes-column: --method {options.method} as it is set reads no "
            "regimes; take --method latent-interventions, or --method neural with "
            "--set intervention=imperfect"
        )
    if not options.no_cache:
        _enable_cache()
    table, source = loaded.table, loaded.source
    known = _known(options, loaded)
    known["regimes"] = loaded.regimes if reads_regimes else None
    with warnings.catch_warnings(record=True) as more:
        warnings.simplefilter("always", UserWarning)
        if estimator is None:
            estimator = causaljax.discover(table, random_state=options.seed, **known)
        else:
            estimator.fit(table, **known)
    for warning in [*caught, *more]:
        print(f"causaljax: warning: {_line(warning.message)}", file=sys.stderr)
    _show(estimator, source, table.shape)
    if loaded.truth is not None:
        _compare(loaded, estimator)
    if options.out is not None:
        with shielded():
            written = causaljax.tables.files.write_results(
                options.out,
                estimator.edges_,
                [str(name) for name in estimator.adjacency_],
                _record(options, estimator, loaded, known["knowledge"]),
                **_regime_tables(estimator),
            )
            print(f"Wrote {', '.join(written)} to {_line(options.out)}")


def _names(entries, columns):
    """The names in lists separated by commas; a whole entry may be one name."""
    found = []
    for entry in entries:
        parts = [entry] if entry in columns else entry.split(",")
        found += [part if part in columns else part.strip() for part in parts]
    return found


def _kinds(entries, columns):
    """``{column: kind}`` of entries such as sex=categorical,age=count."""
    found, name = {}, ""
    for part in (part for entry in entries for part in entry.split(",")):
        name, separator, kind = f"{name}{part}".rpartition("=")
        if separator:
            found[name if name in columns else name.strip()] = kind.strip()
            name = ""
        else:  # a comma of the column's name
            name = f"{kind},"
    if name or not all(found) or not all(found.values()):
        raise ValueError(
            f"--kinds {','.join(entries)}: write COLUMN=KIND, separated by ','"
        )
    return found or None


def _knowledge(options, columns):
    """What the files of knowledge say together."""
    names, known = [str(name) for name in columns], causaljax.Knowledge()
    if options.knowledge is not None:
        known = causaljax.read_knowledge(options.knowledge, names)
    for kind in ("required", "forbidden"):
        if (path := getattr(options, kind)) is not None:
            more = getattr(causaljax.read_knowledge(path, names, kind), kind)
            both: dict[str, Any] = {kind: [*getattr(known, kind), *more]}
            known = dataclasses.replace(known, **both)
    return known


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
    return estimator.set_params(random_state=options.seed)


def _check_seed(options):
    if not 0 <= options.seed < 2**32:
        raise ValueError(
            f"--seed {options.seed}: give a whole number from 0 to {2**32 - 1}"
        )


class _Loaded(NamedTuple):
    """What there is to learn from, and what is known of the answer."""

    table: pd.DataFrame
    source: str  # what it is
    interventions: Any = None  # as fit takes them, and so the regimes
    regimes: Any = None
    weights: pd.Series | None = None
    truth: pd.DataFrame | None = None
    truth_name: str = ""
    caution: str = ""  # what a comparison with the truth cannot show
    fingerprint: str = ""  # SHA-256 of the file or the values


def _load(options):
    """A file, a shipped data set, or one table of a folder."""
    data, datasets = options.data, causaljax.tables.datasets.DATASETS
    files = causaljax.tables.files
    if options.with_interventions and data not in datasets:
        raise ValueError(
            f"--with-interventions: {data} is no shipped data set, of which there are "
            f"{list(datasets)}; name the targets by --interventions-column"
        )
    if options.format == "dcdi" or data in datasets:
        _reject_file_options(options)
    if options.format == "dcdi":
        return _without(_load_dcdi(options), options.drop)
    if options.number is not None:
        raise ValueError("--number: only folders have numbers; add --format dcdi")
    if data in datasets:
        loaded = _load_dataset(options, datasets[data]())
    elif Path(data).is_dir():
        raise ValueError(_about_folder(data))
    else:
        columns = options.interventions_column, options.regimes_column
        names = [column for column in columns if column is not None]
        separator = {"tab": "\t", "\\t": "\t"}.get(options.separator, options.separator)
        if separator is not None and len(separator) != 1:
            raise ValueError(f"--separator {separator}: give one character, or tab")
        table = files.read_table(
            data,
            names=names,
            separator=separator,
            decimal=options.decimal,
            header=not options.no_header,
        )
        loaded = _Loaded(table, data, fingerprint=files.fingerprint(data))
    table = loaded.table
    interventions = _take(table, options.interventions_column, "interventions")
    regimes = _take(table, options.regimes_column, "regimes")
    weights = _take(table, options.weights_column, "weights")
    if interventions is not None:
        interventions = [_split(cell, table.columns) for cell in interventions]
        loaded = loaded._replace(interventions=interventions)
    if regimes is not None:
        loaded = loaded._replace(regimes=files.labels(regimes))
    return _without(loaded._replace(weights=weights), options.drop)


def _reject_file_options(options):
    """Options of text files have no meaning elsewhere."""
    for name, value in (
        ("--separator", options.separator),
        ("--decimal", options.decimal),
        ("--no-header", options.no_header or None),
    ):
        if value is not None:
            raise ValueError(f"{name}: {options.data} is no text file; leave it out")


def _without(loaded, entries):
    """What was loaded, less the columns of ``--drop``."""
    table, dropped = loaded.table, _names(entries, loaded.table.columns)
    for name in dropped:
        if name not in table.columns:
            hint = causaljax.tables.knowledge.suggest(name, [*table.columns])
            raise ValueError(f"--drop: the table has no {name!r}; {hint}")
    if not dropped:
        return loaded
    kept = ~table.columns.isin(dropped)
    interventions = loaded.interventions
    if isinstance(interventions, np.ndarray):
        interventions = interventions[:, kept]
    return loaded._replace(table=table.loc[:, kept], interventions=interventions)


def _load_dataset(options, dataset):
    """A shipped data set: one part of it, or all there is to know of it."""
    table, truth = dataset.data, dataset.truth
    interventions = regimes = None
    # Which rows are the observational part is what these would find out.
    whole = options.method == "latent-interventions"
    if options.with_interventions:
        interventions, regimes = dataset.interventions, dataset.condition
        part = "all rows, their conditions and targets"
        if not whole:
            # Conditions without a target are none that a target explains.
            kept = table.index.isin(
                [*dataset.observational.index, *dataset.interventional.index]
            )
            table, interventions, regimes = (
                each[kept] for each in (table, interventions, regimes)
            )
            part = "the observational part and the rows of known targets"
        interventions = interventions.tolist()
    elif whole:
        part = "all rows, conditions hidden"
    else:
        table, part = dataset.observational, "the observational part"
    # Intensities are positive and skewed; their logarithms are what is compared.
    table = table.map(np.log)
    return _Loaded(
        table=table,
        source=f"{options.data} (log of {part})",
        interventions=interventions,
        regimes=regimes,
        truth=truth,
        truth_name="consensus graph",
        caution=_CAUTION.format(edges=int(truth.to_numpy().sum())),
        fingerprint=causaljax.tables.files.fingerprint(table),
    )


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
    for option in ("interventions", "regimes", "weights"):
        if getattr(options, f"{option}_column") is not None:
            what = f"; its files say what the {option} are"
            raise ValueError(
                f"--{option}-column: a folder of --format dcdi has no such column"
                f"{'' if option == 'weights' else what}"
            )
    number = 1 if options.number is None else options.number
    read = causaljax.tables.dcdi_format.read_dcdi(options.data, number)
    names = [f"x{k}" for k in range(read.x.shape[1])]
    truth = read.graph
    if truth is not None:
        truth = pd.DataFrame(truth.astype(int), index=names, columns=names)
    table = pd.DataFrame(read.x, columns=names)
    return _Loaded(
        table=table,
        fingerprint=causaljax.tables.files.fingerprint(table),
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
    """Text of others on one line, also what the output has no code for."""
    encoding = sys.stdout.encoding or "utf-8"
    return spelled(text).encode(encoding, "backslashreplace").decode(encoding)


def _add_row(table, *cells):
    """Adds cells as they are: nothing in them is markup."""
    from rich.text import Text

    table.add_row(*(Text(_line(cell)) for cell in cells))


def _print_table(table):
    """Prints a table as wide as it comes: names that are cut are others' names."""
    from rich.console import Console

    Console(width=_WIDEST).print(table)


def _show(estimator, data, shape):
    """The data, and what the estimator says of itself."""
    print(f"{_line(data)}, {shape[0]} rows, {shape[1]} columns")
    encoding = (sys.stdout.encoding or "utf-8").lower()
    told = estimator._summary(ascii_only=not encoding.startswith("utf"))
    for line in told.split("\n"):
        print(_line(line))


def _compare(loaded, estimator):
    """Skeleton and directions apart; an open direction is half a hit of the latter."""
    from rich.table import Table

    names = list(estimator.adjacency_)  # some columns may have been left out
    truth = loaded.truth.loc[names, names]
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


def _record(options, estimator, loaded, knowledge):
    import jax

    parameters = estimator.get_params()
    for name in ("progress", "random_state"):
        parameters.pop(name, None)
    info = dict(estimator.info_)
    return {
        "causaljax": causaljax.__version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "command": ["causaljax", *options.arguments],
        "data": {
            "source": loaded.source,
            "rows": loaded.table.shape[0],
            "columns": loaded.table.shape[1],
            "sha256": loaded.fingerprint,
        },
        "interventions_column": options.interventions_column,
        "regimes_column": options.regimes_column,
        "weights_column": options.weights_column,
        "knowledge": {
            field: stated
            for field, stated in dataclasses.asdict(knowledge).items()
            if stated
        },
        "method": _method_name(type(estimator).__name__),
        "columns": info.pop("columns"),
        "config": parameters | info.pop("config"),
        "seed": info.pop("seed"),
        "timings": {"fit_seconds": info.pop("seconds")},
        "convergence": info,
    }
