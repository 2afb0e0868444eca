"""What a result was measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch


def machine() -> dict[str, str | int]:
    """Versions and size of the machine, for a result's columns."""
    return {
        "psmimpute": version("psmimpute") + revision(Path(__file__).parent),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "pandas": version("pandas"),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }


@cache
def revision(folder: Path) -> str:
    """Commit of a checkout as a local version, such as ``+9fd8758`` or ``+9fd8758.changed``.

    Parameters
    ----------
    folder : Path
        In the checkout.

    Returns
    -------
    str
        Empty where there is no checkout, or no git.
    """
    command = ["git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=.changed"]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"+{found.stdout.strip()}"
