"""Arguments of the command line, and errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bayesgmm._errors import BayesGMMError
from bayesgmm._version import version
from bayesgmm.cli import _ddpcr

BAD_INPUT = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process if left out.

    Returns
    -------
    int
        Exit code: 0, 2 for input that cannot be used, 130 where the user stopped it.
    """
    parser = _parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        _ddpcr.run(options, given)
    except BayesGMMError as error:
        print(f"bayesgmm {options.command}: {' '.join(_ddpcr.worded(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        print(f"bayesgmm {options.command}: {error.strerror or error}{where}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"bayesgmm {options.command}: stopped", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bayesgmm", description="Bayesian Gaussian mixtures from the command line.")
    parser.add_argument("--version", action="version", version=f"bayesgmm {version()}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="command")
    _ddpcr.add_to(commands)
    return parser
