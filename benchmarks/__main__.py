"""Command line of the benchmarks: ``python -m benchmarks PROTOCOL ...``."""

from __future__ import annotations

import sys

from benchmarks import (
    accuracy,
    choices,
    coverage,
    device,
    floor,
    parquet,
    pattern_sets,
    scale,
    speed,
    steps,
    tables,
)

_PROTOCOLS = {
    "accuracy": accuracy.main,
    "choices": choices.main,
    "coverage": coverage.main,
    "device": device.main,
    "floor": floor.main,
    "parquet": parquet.main,
    "pattern-sets": pattern_sets.main,
    "scale": scale.main,
    "speed": speed.main,
    "steps": steps.main,
    "tables": tables.main,
}


def main() -> None:
    """Run the protocol named first with the remaining arguments."""
    if len(sys.argv) < 2 or sys.argv[1] not in _PROTOCOLS:
        sys.exit(f"usage: python -m benchmarks {{{','.join(_PROTOCOLS)}}} ...")
    _PROTOCOLS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
