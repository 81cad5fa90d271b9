"""What does it cost to get memory back from the system on every call?

python experiments/benchmarks/allocator_speed.py

Times one matrix product with a large result in processes with and without the allocator settings
that the command line makes (jaxcalo.cli.runtime), in turns.
"""

import argparse
import json
import statistics
import subprocess
import sys

from measure import write_record

_CHILD = """
import json, resource, sys
if sys.argv[1] == "kept":
    from jaxcalo.cli.runtime import configure
    configure()
import jax, jax.numpy as jnp
product = jax.jit(lambda x, w: jax.nn.silu(x @ w) @ w.T)
x, w = jnp.ones((103680, 32)), jnp.ones((32, 128))
for _ in range(4):
    product(x, w).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF)
for _ in range(20):
    product(x, w).block_until_ready()
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({"cpu_ms": 50 * cpu, "page_faults": (after.ru_minflt - before.ru_minflt) / 20}))
"""


def main() -> None:
    """Run the processes in turns; write results/allocator_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    runs = {"default": [], "kept": []}
    for _ in range(repeats):
        for name, found in runs.items():
            command = [sys.executable, "-c", _CHILD, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout))
    results = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in runs.items()
    }
    write_record("allocator_speed", {"repeats": repeats}, results)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
