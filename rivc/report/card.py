"""The card of a published policy: what it is, how good, how to run it; as model hubs read it.

The YAML at its head is what the Hugging Face hub looks for: library, licence, tags, and an
evaluation under ``model-index``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from rivc.snn_convert import SpikingProgram
    from rivc.train.appraise import Appraisal
    from rivc.train.config import Config

TAGS: Final = (
    "reinforcement-learning",
    "deep-reinforcement-learning",
    "spiking-neural-network",
    "neuromorphic",
    "quantization",
    "robotics",
)


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        config: of the run.
        program: the policy.
        appraisal: of the program, on the back end that was asked.
        seed: of the episodes.
        licence: as the hub abbreviates it, ``mit``.
        versions: of the libraries it was trained with.
        env_steps: that the run has made.
    """

    config: Config
    program: SpikingProgram
    appraisal: Appraisal
    seed: int
    licence: str
    versions: dict[str, str]
    env_steps: int

    def text(self) -> str:
        """Return the card, Markdown under YAML."""
        head = yaml.safe_dump(self._head(), sort_keys=False, allow_unicode=True)
        return f"---\n{head}---\n\n{self._body()}"

    def _head(self) -> dict[str, Any]:
        env_id = self.config.env.id
        task = {"type": "reinforcement-learning", "name": "reinforcement-learning"}
        return {
            "library_name": "rivc",
            "license": self.licence,
            "tags": [*TAGS, env_id],
            "model-index": [
                {
                    "name": self.config.name,
                    "results": [
                        {
                            "task": task,
                            "dataset": {"name": env_id, "type": env_id},
                            "metrics": self._metrics(),
                        }
                    ],
                }
            ],
        }

    def _metrics(self) -> list[dict[str, Any]]:
        metrics = [{"type": "mean_reward", "name": "mean_reward", "value": self._return}]
        if self.appraisal.score.success_rate is not None:
            rate = round(self.appraisal.score.success_rate, 4)
            metrics.append({"type": "success_rate", "name": "success_rate", "value": str(rate)})
        return [{**metric, "verified": False} for metric in metrics]

    @property
    def _return(self) -> str:
        score = self.appraisal.score
        return f"{score.return_mean:.2f} +/- {score.return_std:.2f}"

    @property
    def _episodes(self) -> int:
        return len(self.appraisal.score.episodes)

    def _body(self) -> str:
        rows = "\n".join(f"| {name} | {value} |" for name, value in self._rows())
        return BODY.format(name=self.config.name, env_id=self.config.env.id, rows=rows)

    def _rows(self) -> list[tuple[str, str]]:
        quant, judged = self.config.quant, self.appraisal
        rows = [
            ("task", f"`{self.config.env.id}`, observations {list(self.program.encoding.shape)}"),
            ("actions", "{} of {} choices".format(*self.program.action_layout)),
            (
                "bits",
                f"weights {quant.weight_bits}, spike counts {quant.activation_bits}, "
                f"inputs {self.program.encoding.bit_width}",
            ),
            ("arithmetic profile", self.program.profile),
            ("return", f"{self._return}, {self._episodes} greedy episodes, seed {self.seed}"),
            ("judged on", judged.form),
            (
                "integers that differ from the trained network",
                f"{judged.readout_mismatches} of {judged.states:,} states",
            ),
            ("training", f"{self.env_steps:,} env steps, seed {self.config.seed}"),
            ("versions", ", ".join(f"{k} {v}" for k, v in sorted(self.versions.items()))),
            ("program SHA-256", f"`{self.program.sha256}`"),
        ]
        if judged.spikes_per_decision is not None and judged.synops_per_decision is not None:
            cost = f"{judged.spikes_per_decision:,.1f}, {judged.synops_per_decision:,.0f}"
            rows.insert(7, ("spikes, synaptic operations a decision", cost))
        return rows


BODY: Final = """\
# {name}: a spiking policy for {env_id}

A policy trained by rivc in a neurochip's own integers.

| what | value |
|---|---|
{rows}

## Run it

`pip install rivc` is enough to act: numpy, no torch, no simulator.

```python
from rivc.neurochip import Actor
from rivc.neurochip.export import load_verified

act = Actor(load_verified(".").program)  # checks the hash and the golden vectors
# act(observation): one observation, as the task gives it, to one action a group
```

`rivc verify .` compares every form of the program, integer by integer;
`rivc train config.yaml` trains it again.

| file | holds |
|---|---|
| `program.npz` | input encoding, integer weights, thresholds and biases |
| `golden.npz` | inputs, and the integers that every form must answer with |
| `config.yaml` | every setting of the run |
| `manifest.json` | hash, versions, files |
"""
