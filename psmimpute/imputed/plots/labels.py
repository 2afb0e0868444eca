"""Names beside points, placed so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

FloatArray = npt.NDArray[np.float64]

# Points nearer than this share of the axis share a label.
SAME_PLACE = 0.012
MAX_NAMES = 3
# Half the width of what a point takes up, in points.
POINT_SIZE = 2.5
# Places to try, in points from the label's point: near ones first.
OFFSETS = [
    (dx, dy)
    for radius in (5, 12, 22, 36)
    for dx in (radius, 0, -radius)
    for dy in (0, radius, -radius)
    if dx or dy
]


def label_points(ax: Axes, x: FloatArray, y: FloatArray, names: Sequence[str]) -> int:
    """Write names beside points, so that they cover neither each other nor points.

    Points at one place share a label of at most three names. A label for which there is no
    room near its point is left out.

    Parameters
    ----------
    ax : matplotlib Axes
        Where; its limits must be set.
    x, y : ndarray, shape (n_points,)
        Places, in data units.
    names : sequence of str
        One for each point.

    Returns
    -------
    int
        How many labels were left out.
    """
    ax.figure.canvas.draw()
    taken = _points(ax, x, y)
    left_out = 0
    for place_x, place_y, text in _places(x, y, names):
        label = ax.annotate(
            text,
            (place_x, place_y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.6"},
        )
        # Labels that moved the axes would no longer be where they were found to fit.
        label.set_in_layout(False)
        if not _place(ax, label, taken):
            label.remove()
            left_out += 1
    return left_out


def _points(ax: Axes, x: FloatArray, y: FloatArray) -> list[Bbox]:
    """Return boxes around the points, in pixels."""
    from matplotlib.transforms import Bbox

    known = np.isfinite(x) & np.isfinite(y)
    pixels = ax.transData.transform(np.column_stack([x[known], y[known]]))
    reach = POINT_SIZE * ax.figure.dpi / 72
    return [Bbox([[a - reach, b - reach], [a + reach, b + reach]]) for a, b in pixels]


def _places(x: FloatArray, y: FloatArray, names: Sequence[str]) -> list[tuple[float, float, str]]:
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (across, along) in enumerate(zip(x, y, strict=True)):
        if not np.isfinite(across + along):
            continue
        key = (round(float(across) / SAME_PLACE), round(float(along) / SAME_PLACE))
        groups.setdefault(key, []).append(i)
    places = []
    for members in groups.values():
        shown = ", ".join(names[i] for i in members[:MAX_NAMES])
        more = len(members) - MAX_NAMES
        text = f"{shown}, +{more} more" if more > 0 else shown
        places.append((float(x[members[0]]), float(y[members[0]]), text))
    return places


def _place(ax: Axes, label: Annotation, taken: list[Bbox]) -> bool:
    """Move a label to the first place where it covers no other; tell whether there is one."""
    from matplotlib.text import Text

    frame = ax.get_window_extent()
    for dx, dy in OFFSETS:
        label.set_position((dx, dy))
        label.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
        label.set_verticalalignment("bottom" if dy > 0 else "top" if dy < 0 else "center")
        # Asked for its extent, an annotation moves to its place. What counts is the extent of
        # the text alone, without the line.
        label.get_window_extent()
        box = Text.get_window_extent(label)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
        if inside and box.y1 <= frame.y1 and not any(box.overlaps(other) for other in taken):
            taken.append(box)
            return True
    return False
