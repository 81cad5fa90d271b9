"""Run a file of `jaxcalo export RUN -o FILE` with JAX alone, without jaxcalo.

python run_stablehlo.py FILE ENERGY_GEV [SEED]
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax import export


def main() -> None:
    """Make 16 showers, or as many as the file was written for, and print their energies."""
    path, energy_gev, *seed = sys.argv[1:]
    facts = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
    program = export.deserialize(bytearray(Path(path).read_bytes()))
    shape = facts["output"]["shape"]
    n = 16 if isinstance(shape[0], str) else shape[0]
    energies = np.full(n, 1000.0 * float(energy_gev), np.float32)
    voxels = jax.jit(program.call)(np.uint32(int(*seed or "0")), np.uint32(0), energies)
    print(f"{facts['geometry']}: {voxels.shape} voxels, MeV; E_tot / E_inc of each shower:")
    print(np.asarray(voxels).sum(axis=1) / energies)


if __name__ == "__main__":
    main()
