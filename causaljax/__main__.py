"""``python -m causaljax``."""

from causaljax.cli import program

if __name__ == "__main__":
    program()
