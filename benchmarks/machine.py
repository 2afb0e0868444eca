"""What a result was measured with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import torch


def machine() -> dict[str, str | int]:
    """Versions and size of the machine, for a result's columns."""
    return {
        "psmimpute": version("psmimpute"),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "pandas": version("pandas"),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
