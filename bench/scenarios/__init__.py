"""What is measured, one file for each scenario. Each has `run(system, report, options)`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    full: bool = False
    #: Fewer requests and a shorter history, to see that everything works.
    quick: bool = False
