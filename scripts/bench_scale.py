"""What many fits and large tables cost; a subcommand an experiment.

    python scripts/bench_scale.py job --tables 200

Run it on an idle machine.
"""

import argparse

import scale_job
import scale_parallel
import scale_stream


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for module in (scale_parallel, scale_job, scale_stream):
        module.add(commands)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
