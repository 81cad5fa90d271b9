"""Flow matching with pairs of events and noise by optimal transport within a batch.

jaxcalo train experiments/par04_lite_transport.py --out runs/transport

Compared with independent pairs in experiments/README.md.
"""

import dataclasses
import runpy
from pathlib import Path

from jaxcalo.families import TransportPairing

flow = runpy.run_path(str(Path(__file__).with_name("par04_lite_flow.py")))["experiment"]
experiment = dataclasses.replace(
    flow, diffusion=dataclasses.replace(flow.diffusion, pairing=TransportPairing())
)
