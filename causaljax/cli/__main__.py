"""``python -m causaljax.cli``."""

from causaljax.cli.command_line import program

if __name__ == "__main__":
    program()
