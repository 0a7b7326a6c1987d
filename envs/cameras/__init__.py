"""Two ways to draw a camera of an MJCF scene: rays on the CPU, or OpenGL.

1. One call draws one picture, uint8, [H, W, 3], red green blue, top row first; the caller owns it.
   `depth` and `geoms` tell how far each pixel is and what it shows.
2. A camera reads `MjData` after `mj_kinematics` and `mj_camlight`, and never writes it.
3. Geom groups: 0 is for all to see, 1 for films only, 2 for robots only, 3 for physics only.
"""

from rivc.envs.cameras.batch import BatchRays
from rivc.envs.cameras.camera import Camera, open_camera
from rivc.envs.cameras.opengl import GlCamera
from rivc.envs.cameras.rays import RayCamera

__all__ = ["BatchRays", "Camera", "GlCamera", "RayCamera", "open_camera"]
