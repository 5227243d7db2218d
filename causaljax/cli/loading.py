"""What the command line is told of a table: options, and what they load."""

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import causaljax
from causaljax.cli.errors import CommandError, coded, unknown

_CAUTION = (
    "Consensus graphs differ among themselves by SHD 4 to 6, and a graph without edges "
    "has SHD {edges}: a difference of a few edges says little about a method."
)


STREAMED_BYTES = 2**28
"""The size of a file from which it is read part by part, and not held."""


def add_data_options(parser: Any) -> None:
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


def check_seed(options: Any) -> None:
    """Raises CommandError for a seed that is none."""
    if not 0 <= options.seed < 2**32:
        raise CommandError(
            "invalid_option",
            f"--seed {options.seed}: give a whole number from 0 to {2**32 - 1}",
        )


class Loaded(NamedTuple):
    """What there is to learn from, and what is known of the answer."""

    table: Any  # DataFrame, or the Scan of a file that is too long to be held
    source: str  # what it is
    interventions: Any = None  # as fit takes them, and so the regimes
    regimes: Any = None
    weights: pd.Series | None = None
    truth: pd.DataFrame | None = None
    truth_name: str = ""
    caution: str = ""  # what a comparison with the truth cannot show
    fingerprint: str = ""  # SHA-256 of the file or the values

    @property
    def rows(self) -> pd.DataFrame:
        """The table; of one that is too long, a sample of its rows."""
        whole = isinstance(self.table, pd.DataFrame)
        return self.table if whole else self.table.sample


def described(loaded: Loaded) -> dict[str, Any]:
    """What run.json and the envelope say of the data."""
    return {
        "source": loaded.source,
        "rows": loaded.table.shape[0],
        "columns": loaded.table.shape[1],
        "sha256": loaded.fingerprint,
    }


def known(options: Any, loaded: Loaded) -> dict[str, Any]:
    """What ``fit`` is told beside the table and its regimes."""
    names = loaded.table.columns
    columns, kinds = _names(options.columns, names), _kinds(options.kinds, names)
    for option, asked in (("columns", columns), ("kinds", kinds or ())):
        for name in asked:
            if name not in names:
                what = f"--{option} names an unknown column {name!r}"
                raise unknown("unknown_column", what, name, [*names])
    return {
        "interventions": loaded.interventions,
        "knowledge": _knowledge(options, names),
        "kinds": kinds,
        "columns": columns or None,
        "sample_weight": loaded.weights,
    }


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
        raise CommandError(
            "invalid_option",
            f"--kinds {','.join(entries)}: write COLUMN=KIND, separated by ','",
        )
    return found or None


def _knowledge(options, columns):
    """What the files of knowledge say together."""
    names, stated = [str(name) for name in columns], causaljax.Knowledge()
    if options.knowledge is not None:
        stated = _read_knowledge(options.knowledge, names)
    for kind in ("required", "forbidden"):
        if (path := getattr(options, kind)) is not None:
            more = getattr(_read_knowledge(path, names, kind), kind)
            both: dict[str, Any] = {kind: [*getattr(stated, kind), *more]}
            stated = dataclasses.replace(stated, **both)
    return stated


def _read_knowledge(path, *how):
    missing = not Path(path).exists()
    with coded("file_not_found" if missing else "invalid_knowledge"):
        return causaljax.read_knowledge(path, *how)


def load(options: Any) -> Loaded:
    """A file, a shipped data set, or one table of a folder.

    Raises:
      CommandError: for an option that does not fit, or data that cannot be read.
    """
    data, datasets = options.data, causaljax.tables.datasets.DATASETS
    if options.with_interventions and data not in datasets:
        raise CommandError(
            "option_not_applicable",
            f"--with-interventions: {data} is no shipped data set, of which there are "
            f"{list(datasets)}; name the targets by --interventions-column",
            given=data,
            valid_options=list(datasets),
        )
    if options.format == "dcdi" or data in datasets:
        _reject_file_options(options)
    if options.format == "dcdi":
        return _without(_load_dcdi(options), options.drop)
    if options.number is not None:
        raise CommandError(
            "option_not_applicable",
            "--number: only folders have numbers; add --format dcdi",
        )
    if data in datasets:
        loaded = _load_dataset(options, datasets[data]())
    elif Path(data).is_dir():
        raise CommandError("unreadable_data", _about_folder(data))
    else:
        loaded = _load_file(options)
    table = loaded.table
    if not isinstance(table, pd.DataFrame):
        return loaded
    interventions = _take(table, options.interventions_column, "interventions")
    regimes = _take(table, options.regimes_column, "regimes")
    weights = _take(table, options.weights_column, "weights")
    if interventions is not None:
        interventions = [_split(cell, table.columns) for cell in interventions]
        loaded = loaded._replace(interventions=interventions)
    if regimes is not None:
        loaded = loaded._replace(regimes=causaljax.tables.files.labels(regimes))
    return _without(loaded._replace(weights=weights), options.drop)


def _load_file(options):
    data, files = options.data, causaljax.tables.files
    columns = options.interventions_column, options.regimes_column
    separator = {"tab": "\t", "\\t": "\t"}.get(options.separator, options.separator)
    if separator is not None and len(separator) != 1:
        raise CommandError(
            "invalid_option", f"--separator {separator}: give one character, or tab"
        )
    datasets = list(causaljax.tables.datasets.DATASETS)
    missing = not Path(data).exists()
    if missing and not Path(data).suffix:
        raise unknown(
            "file_not_found",
            f"{data}: no such file, and no data set of that name is shipped",
            data,
            datasets,
        )
    form = {
        "separator": separator,
        "decimal": options.decimal,
        "header": not options.no_header,
    }
    if not missing and Path(data).stat().st_size > STREAMED_BYTES:
        return _scan_file(options, form)
    with coded("file_not_found" if missing else "unreadable_data"):
        names = [column for column in columns if column is not None]
        table = files.read_table(data, names=names, **form)
        return Loaded(table, data, fingerprint=files.fingerprint(data))


def _scan_file(options, form):
    """A large file, read part by part."""
    data, files = options.data, causaljax.tables.files
    for option in ("interventions", "regimes", "weights"):
        if getattr(options, f"{option}_column") is not None:
            raise CommandError(
                "option_not_applicable",
                f"--{option}-column: {data} is larger than {STREAMED_BYTES // 2**20} "
                "MiB and read part by part, without such a column: cut it into "
                "smaller files, or leave the option out",
            )
    with coded("unreadable_data"):
        names = [*next(files.read_parts(data, rows=1, **form))]
    kept = set(names) - set(_dropped(options.drop, names))
    columns = _names(options.columns, names) or names
    kinds = _kinds(options.kinds, names)
    with coded("unreadable_data"):
        table = causaljax.tables.scan.scan_file(
            data,
            kinds=kinds,
            columns=[name for name in columns if name in kept or name not in names],
            **form,
        )
        return Loaded(table, data, fingerprint=files.fingerprint(data))


def _reject_file_options(options):
    """Options of text files have no meaning elsewhere."""
    for name, value in (
        ("--separator", options.separator),
        ("--decimal", options.decimal),
        ("--no-header", options.no_header or None),
    ):
        if value is not None:
            raise CommandError(
                "option_not_applicable",
                f"{name}: {options.data} is no text file; leave it out",
            )


def _without(loaded, entries):
    """What was loaded, less the columns of ``--drop``."""
    table, dropped = loaded.table, _dropped(entries, loaded.table.columns)
    if not dropped:
        return loaded
    kept = ~table.columns.isin(dropped)
    interventions = loaded.interventions
    if isinstance(interventions, np.ndarray):
        interventions = interventions[:, kept]
    return loaded._replace(table=table.loc[:, kept], interventions=interventions)


def _dropped(entries, columns):
    """The columns that ``--drop`` names."""
    dropped = _names(entries, columns)
    for name in dropped:
        if name not in columns:
            what = f"--drop: the table has no {name!r}"
            raise unknown("unknown_column", what, name, [*columns])
    return dropped


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
    return Loaded(
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
            raise CommandError(
                "option_not_applicable",
                f"--{option}-column: a folder of --format dcdi has no such column"
                f"{'' if option == 'weights' else what}",
            )
    number = 1 if options.number is None else options.number
    missing = not Path(options.data).exists()
    with coded("file_not_found" if missing else "unreadable_data"):
        read = causaljax.tables.dcdi_format.read_dcdi(options.data, number)
    names = [f"x{k}" for k in range(read.x.shape[1])]
    truth = read.graph
    if truth is not None:
        truth = pd.DataFrame(truth.astype(int), index=names, columns=names)
    table = pd.DataFrame(read.x, columns=names)
    return Loaded(
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
        what = f"--{option}-column: the table has no {column!r}"
        raise unknown("unknown_column", what, column, [*table.columns])
    return table.pop(column)


def _split(cell, columns):
    """The targets named in a cell; a whole column's name may itself hold a ';'."""
    if not isinstance(cell, str) or cell in columns:
        return cell
    return [name.strip() for name in cell.split(";") if name.strip()]
