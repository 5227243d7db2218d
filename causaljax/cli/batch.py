"""``causaljax batch``: many fits, and what they found together."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import causaljax
from causaljax.cli import loading
from causaljax.cli.cache import enable_cache
from causaljax.cli.reply import Reply, line
from causaljax.estimators.methods import METHODS
from causaljax.tables.errors import CodedError, coded
from causaljax.tables.reading import Reading

_MOST = 20  # edges and failures that are shown to people


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "batch", help="learn graphs from many tables, resamples, settings and seeds"
    )
    parser.set_defaults(command=_batch)
    parser.add_argument(
        "job",
        nargs="+",
        metavar="JOB",
        help="a job file, JOB.toml; or tables with --method and --out; or summary DIR, "
        "which merges what the processes of a job have written",
    )
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--out", metavar="DIR", help="folder for the results")
    loading.add_set_option(parser)
    parser.add_argument(
        "--sweep",
        metavar="KEY=VALUES",
        action="append",
        default=[],
        help="values of a parameter, all of which are fitted, as bic_weight=[1,2]; may "
        "be repeated",
    )
    parser.add_argument("--seeds", metavar="N", nargs="+", type=int, default=[0])
    for name, text in (
        ("bootstraps", "to as many rows drawn with replacement"),
        ("subsamples", "to half of its rows"),
    ):
        parser.add_argument(
            f"--{name}",
            metavar="N",
            type=int,
            default=0,
            help=f"refits of each table {text}",
        )
    parser.add_argument(
        "--group-column", metavar="C", help="its labels divide each table into tables"
    )
    loading.add_reading_options(parser)
    parser.add_argument(
        "--process",
        metavar="I/N",
        help="the share of this process, as 0/8; left out, SLURM, Kubernetes or the "
        "hosts of a TPU slice say it",
    )
    parser.add_argument(
        "--threshold",
        metavar="T",
        type=float,
        help="of summary: the share of refits from which an edge counts as stable",
    )


def _batch(options: Any, reply: Reply) -> None:
    if options.job[0] == "summary":
        _summarise(options, reply)
        return
    job = _job(options)
    if options.threshold is not None:
        raise CodedError(
            "option_not_applicable", "--threshold: is an option of `batch summary DIR`"
        )
    with coded("invalid_option"):
        process = _process(options.process)
    enable_cache(options, reply)
    summary, folder = causaljax.batch.summary, job.output_folder
    report = causaljax.batch.run_job(job, process, None if reply.as_json else _tell)
    reply.run = {"settings": job.describe()}
    reply.result = {
        "folder": str(folder),
        "work": report,
        "summary": None,
        "files": list(summary.FILES) * report["complete"],
    }
    if report["complete"]:
        _show(causaljax.batch.summarise(folder), summary.THRESHOLD, reply)
    else:
        reply.say(
            "Other processes have not ended; the last one writes the summary to "
            f"{folder}"
        )


def _tell(text):
    """A line on progress, for people who wait."""
    print(line(text), file=sys.stderr, flush=True)


def _job(options):
    """The job of a file, or of options."""
    of_job = {
        *("method", "out", "set", "sweep", "seeds", "bootstraps", "subsamples"),
        *("group_column", *(field.name for field in dataclasses.fields(Reading))),
    }
    if len(options.job) == 1 and options.job[0].endswith(".toml"):
        for name in sorted(of_job):
            if getattr(options, name) != options.parser.get_default(name):
                raise CodedError(
                    "usage",
                    f"--{name.replace('_', '-')}: write it into {options.job[0]}",
                )
        return causaljax.batch.read_job(options.job[0])
    for name in ("method", "out"):
        if getattr(options, name) is None:
            raise CodedError("usage", f"--{name}: add it, or name a .toml file")
    names = [field.name for field in dataclasses.fields(Reading)]
    return causaljax.batch.Job(
        inputs=options.job,
        method=options.method,
        output=options.out,
        settings=loading.settings(options.set),
        sweep=loading.settings(options.sweep, "--sweep"),
        seeds=options.seeds,
        bootstraps=options.bootstraps,
        subsamples=options.subsamples,
        group_column=options.group_column,
        read=Reading(**{name: getattr(options, name) for name in names}),
    )


def _process(text: str | None) -> tuple[int, int]:
    """The share of this process: as it is told, or as launchers write it."""
    if text is None:
        return causaljax.batch.processes.share()
    numbers = text.split("/")
    if len(numbers) == 2 and all(part.isascii() and part.isdigit() for part in numbers):
        index, count = map(int, numbers)
        if index < count:
            return index, count
    raise CodedError(
        "invalid_option",
        f"--process {text}: write I/N, the number of this process from 0 and how many "
        "there are",
    )


def _summarise(options: Any, reply: Reply) -> None:
    if len(options.job) != 2:
        raise CodedError("usage", "batch summary: name one folder")
    summary = causaljax.batch.summary
    threshold = summary.THRESHOLD if options.threshold is None else options.threshold
    folder = Path(options.job[1])
    found = causaljax.batch.summarise(folder, threshold)
    reply.run = {"settings": {"folder": str(folder), "threshold": threshold}}
    files = summary.write(folder, found)
    reply.result = {"folder": str(folder), "work": None, "files": files}
    _show(found, threshold, reply)


def _show(found: Any, threshold: float, reply: Reply) -> None:
    """A summary, for people and for programs."""
    stable = found.edges[found.edges["stable"]]
    reply.result["summary"] = {
        "tasks": found.tasks,
        "failed": len(found.failures),
        "seconds": found.seconds,
        "threshold": threshold,
        "bound_holds": found.bound_holds,
        "fits": found.fits.to_dict("records"),
        "stable_edges": stable.drop(columns="stable").to_dict("records"),
        "failures": found.failures.to_dict("records"),
    }
    reply.say(
        f"{found.tasks} tasks, {len(found.failures)} failed, {found.seconds:.0f} s of "
        "fits"
    )
    one = len(found.fits) == 1
    which = [] if one else ["input", "group", "settings"]
    shares = ["adjacent", "forward", "backward"]
    partly = ["partly_forward", "partly_backward"]
    shares += partly if stable[partly].any(axis=None) else []
    shares += ["open"]
    if len(stable):
        reply.show(
            [*which, "source", "target", *(name.replace("_", " ") for name in shares)],
            [
                [*row[: -len(shares)], *(f"{p:.0%}" for p in row[-len(shares) :])]
                for row in _rows(stable, [*which, "source", "target", *shares])
            ],
            title=f"Pairs that at least {threshold:.0%} of the fits join",
        )
    if len(stable) > _MOST:
        reply.say(f"and {len(stable) - _MOST} pairs more")
    if one and found.fits["fits"].iloc[0] > 1:
        row = found.fits.iloc[0]
        said = "as a guide, for the bound is about subsamples"
        if found.bound_holds:
            said = "if false pairs are exchangeable and the method no worse than chance"
        reply.say(
            f"{row['stable']} of {row['candidates']} pairs are stable; fewer than "
            f"{row['false_bound']:.2g} of them are false on average, {said}"
        )
    for task, error in _rows(found.failures, ["task", "error"]):
        reply.say(f"failed: {task}: {error}")
    if len(found.failures) > _MOST:
        reply.say(f"and {len(found.failures) - _MOST} failures more")


def _rows(table: Any, names: Sequence[str]) -> Any:
    return table[names].head(_MOST).itertuples(index=False, name=None)
