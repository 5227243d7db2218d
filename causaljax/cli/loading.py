"""What the command line is told of a table: options, and what they load."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import causaljax
from causaljax.tables import reading
from causaljax.tables.errors import CodedError, coded

_CAUTION = (
    "Consensus graphs differ among themselves by SHD 4 to 6, and a graph without edges "
    "has SHD {edges}: a difference of a few edges says little about a method."
)


def add_question_options(parser: Any) -> None:
    """What ``fit`` and ``advise`` are told that no table tells."""
    parser.add_argument(
        "--hidden-causes",
        action="store_true",
        help="causes of several columns may be missing from the table",
    )
    parser.add_argument(
        "--domain",
        metavar="COLUMN",
        help="the column that says which site or time a row is from, where mechanisms "
        "may differ",
    )


def question(options: Any) -> dict[str, Any]:
    """What the options of ``add_question_options`` say, as ``discover`` takes it."""
    return {"hidden_causes": options.hidden_causes, "domain": options.domain}


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
        "--with-interventions",
        action="store_true",
        help="of a shipped data set: its known targets, and its conditions as regimes",
    )
    parser.add_argument("--seed", type=int, default=0)
    add_reading_options(parser)


def add_set_option(parser: Any) -> None:
    """Parameters of a method, as ``fit`` and ``batch`` take them."""
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a parameter of the --method; may be repeated",
    )


def add_reading_options(parser: Any) -> None:
    """How files are read, by the names of ``tables.reading.Reading``."""
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
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="keep no compiled programs on disk, and load none",
    )


def check_seed(options: Any) -> None:
    """Raises CodedError for a seed that is none."""
    if not 0 <= options.seed < 2**32:
        raise CodedError(
            "invalid_option",
            f"--seed {options.seed}: give a whole number from 0 to {2**32 - 1}",
        )


def settings(given: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """What ``--set KEY=VALUE``, or another option, says, by the keys.

    Raises:
      CodedError: for an entry of another form.
    """
    found = {}
    for setting in given:
        name, separator, text = setting.partition("=")
        if not separator:
            raise CodedError("invalid_setting", f"{option} {setting}: write KEY=VALUE")
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = text  # a word such as logdet
    return found


def load(options: Any) -> reading.Loaded:
    """A file, a shipped data set, or one table of a folder.

    Raises:
      CodedError: for an option that does not fit, or data that cannot be read.
    """
    data, datasets = options.data, causaljax.tables.datasets.DATASETS
    if options.with_interventions and data not in datasets:
        raise CodedError(
            "option_not_applicable",
            f"--with-interventions: {data} is no shipped data set, of which there are "
            f"{list(datasets)}; name the targets by --interventions-column",
            given=data,
            valid_options=list(datasets),
        )
    if options.format == "dcdi" or data in datasets:
        _reject_file_options(options)
    if options.format == "dcdi":
        return reading.without(_load_dcdi(options), options.drop)
    if options.number is not None:
        raise CodedError(
            "option_not_applicable",
            "--number: only folders have numbers; add --format dcdi",
        )
    if data in datasets:
        loaded = _load_dataset(options, datasets[data]())
    elif Path(data).is_dir():
        raise CodedError("unreadable_data", _about_folder(data))
    else:
        loaded = reading.read_file(data, options)
    return reading.take_columns(loaded, options)


def _reject_file_options(options):
    """Options of text files have no meaning elsewhere."""
    for name, value in (
        ("--separator", options.separator),
        ("--decimal", options.decimal),
        ("--no-header", options.no_header or None),
    ):
        if value is not None:
            raise CodedError(
                "option_not_applicable",
                f"{name}: {options.data} is no text file; leave it out",
            )


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
    return reading.Loaded(
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
            raise CodedError(
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
    return reading.Loaded(
        table=table,
        fingerprint=causaljax.tables.files.fingerprint(table),
        source=f"{options.data}, table {number}",
        interventions=read.intervened,
        regimes=read.regime,
        truth=truth,
        truth_name=f"graph DAG{number}.npy",
    )
