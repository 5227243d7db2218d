"""What many fits and large tables cost; a subcommand an experiment.

    python scripts/bench_scale.py job --tables 200

Run it on an idle machine.
"""

import argparse
import importlib
import importlib.util


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name in ("scale_parallel", "scale_job", "scale_stream"):
        if importlib.util.find_spec(name):
            importlib.import_module(name).add(commands)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
