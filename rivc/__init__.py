"""Train robot policies in a neurochip's own integers; ship them as spiking programs.

Importing this package loads neither torch nor a simulator. The parts are:

- `rivc.quant`: the one k-bit core;
- `rivc.nets`: networks that carry integers while they train;
- `rivc.snn_convert`: the frozen `SpikingProgram` and its int64 definition;
- `rivc.codec`: the counts of a layer as packets, and back, exactly;
- `rivc.neurochip`: chips, real and emulated, that run a program;
- `rivc.robot`: a program in closed loop with a robot, at a fixed rate, under a watchdog;
- `rivc.train`: the reinforcement-learning loop, sampling through the chip;
- `rivc.envs`: Gymnasium robot tasks on MuJoCo.
"""

__version__ = "0.1.0"
