"""What rays show, compiled: one pass over the pixels of a picture, ten times as fast as numpy's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

SKY_LEVELS: Final = 256


class Look(NamedTuple):
    """Colours and light of a scene.

    Attributes:
        palette: colours, 0 to 255: of all geoms, their second ones, the sky from straight down to
            straight up, float32, [2 * geoms + levels + 1, 3].
        second_colour: what leads from a geom's colour to its second one, int32, [geoms].
        cells_per_m: of its checker, [geoms].
        lamp: direction to the light, as long as it is bright, [3].
        ambient: brightness of what the light does not reach.
    """

    palette: NDArray[np.float32]
    second_colour: NDArray[np.int32]
    cells_per_m: NDArray[np.float64]
    lamp: NDArray[np.float64]
    ambient: float


class Hits(NamedTuple):
    """What the rays of one picture, or of many, have met.

    Attributes:
        origin: where the rays start, [..., 3].
        directions: of unit length, [..., N, 3].
        geoms: what each has hit, -1 for nothing, int32, [..., N].
        distances: in metres, -1 for nothing, [..., N].
        normals: of what was hit, zero for nothing, [..., N, 3].
    """

    origin: NDArray[np.float64]
    directions: NDArray[np.float64]
    geoms: NDArray[np.int32]
    distances: NDArray[np.float64]
    normals: NDArray[np.float64]


@compiled
def shade(hits: Hits, look: Look, pictures: NDArray[np.uint8]) -> None:
    """Write the colours that rays of many pictures show, [B, N, 3]; see `RayCamera`."""
    for b in range(len(pictures)):
        for k in range(pictures.shape[1]):
            row, normal = _palette_row(hits, look, b, k), hits.normals[b, k]
            light = normal[0] * look.lamp[0] + normal[1] * look.lamp[1] + normal[2] * look.lamp[2]
            brightness = np.float32(max(light, 0.0) + look.ambient)
            for c in range(3):
                colour = look.palette[row, c] * brightness
                pictures[b, k, c] = np.uint8(min(colour, np.float32(255)))


@compiled
def _palette_row(hits: Hits, look: Look, b: int, k: int) -> Any:
    """Return what a ray shows: a geom's first or second colour, or a level of the sky."""
    geom, towards = hits.geoms[b, k], hits.directions[b, k]
    if geom < 0:
        first = len(look.palette) - SKY_LEVELS - 1
        level = np.int64((towards[2] + 1.0) * (0.5 * SKY_LEVELS))
        return first + min(max(level, np.int64(0)), np.int64(SKY_LEVELS))
    cells = look.cells_per_m[geom]
    across = (towards[0] * hits.distances[b, k] + hits.origin[b, 0]) * cells
    along = (towards[1] * hits.distances[b, k] + hits.origin[b, 1]) * cells
    is_second = np.int64(np.floor(across) + np.floor(along)) & 1
    return geom + is_second * look.second_colour[geom]
