"""Several processes of the real command line: training together, and Slurm's job arrays."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run, spawned

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.data import write_four_lepton
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.experiment import load_lepton_run, load_run, train_leptons
from jaxcalo.training import data_mesh, read_metrics

RECIPE = """
from jaxcalo.experiment import *
from jaxcalo.families import *
from jaxcalo.training import *
experiment = LeptonExperiment(
    data=LeptonData(path={path!r}, batch_size=16, validation_fraction=0.5),
    family=DiffusionFamily(8, 1, sampling=Sampling(n_steps=2)),
    training=TrainingPlan(n_steps=6, log_every=2, checkpoints=CheckpointPlan(every=2)),
)
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    events = folder / "events.csv"
    write_four_lepton(events, toy_leptons(jax.random.key(1), 120))
    path = folder / "recipe.py"
    path.write_text(RECIPE.format(path=str(events)))
    return path


def start_two(*arguments):
    """Two processes of one verb, of one device each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "jaxcalo", *map(str, arguments), "--multi-process"]
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [
        subprocess.Popen(
            command,
            env=os.environ | told | {"JAX_PROCESS_ID": str(i), "JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]


def ended(processes):
    """Exit codes and what was said."""
    said = [process.communicate(timeout=300)[1] for process in processes]
    return [process.returncode for process in processes], said


def losses(folder):
    records = read_metrics(folder / "metrics.jsonl")
    return {r["step"]: r["loss"] for r in records if "loss" in r}


def assert_equal_to_the_bit(one, other, load=load_lepton_run):
    params = [jax.device_get(load(folder).params) for folder in (one, other)]
    jax.tree.map(np.testing.assert_array_equal, *params)


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_goes_on(recipe, tmp_path):
    two, one = tmp_path / "two", tmp_path / "one"
    experiment, mesh = load_recipe(str(recipe)), data_mesh(jax.local_devices()[:2])
    codes, said = ended(start_two("train", recipe, "--out", two))
    assert codes == [0, 0], said
    assert "training" in said[0]
    assert "training" not in said[1]
    train_leptons(experiment, one, mesh=mesh)
    assert losses(two) == losses(one)
    assert list(losses(two)) == [2, 4, 6]
    assert len(read_metrics(two / "metrics.jsonl")) == 4  # the evaluation too once
    assert_equal_to_the_bit(two, one)
    shutil.rmtree(two / "checkpoints" / "6")
    train_leptons(experiment, two, mesh=mesh)
    assert_equal_to_the_bit(two, one)


@pytest.mark.slow
def test_two_processes_distil_as_one(trained, tmp_path):
    two, one = tmp_path / "two", tmp_path / "one"
    arguments = ["distill", trained, "--to", "consistency", "--training.n-steps", 6, "--out"]
    codes, said = ended(start_two(*arguments, two))
    assert codes == [0, 0], said
    code, _, err = spawned(*arguments, one, devices=2)
    assert code == 0, err
    assert_equal_to_the_bit(two, one, load_run)
    params = [load_run(folder).params for folder in (two, trained)]
    moved = jax.tree.map(lambda a, b: np.any(a != b), *params)
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_one_step(recipe, tmp_path):
    out = tmp_path / "run"
    processes = start_two("train", recipe, "--out", out, "--training.n-steps", 10**6)
    while all(p.poll() is None for p in processes) and not read_metrics(out / "metrics.jsonl"):
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    codes, said = ended(processes)
    assert codes == [143, 143], said
    steps = {re.search(r"stopped at step (\d+); everything is saved", err)[1] for err in said}
    assert len(steps) == 1
    assert (out / "checkpoints" / steps.pop()).is_dir()


def test_who_the_processes_are_must_be_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    code = run("train", "par04_lite", "--out", tmp_path / "x", "--multi-process")
    assert_one_line(capsys, code, "--multi-process", "found no $JAX_NUM_PROCESSES")
    assert not (tmp_path / "x").exists()
    for flag in ("--multi-process", "--multi_process"):
        code = run("distill", tmp_path / "teacher", "--to", "consistency", flag)
        assert_one_line(capsys, code, "--multi-process", "found no $JAX_NUM_PROCESSES")


SLURM = Path(__file__).parents[2] / "experiments" / "slurm"
# In place of Slurm's commands and of jaxcalo: they run at once, and note how they were called.
FAKES = {
    "jaxcalo": 'echo "$*" >> log; [ "$1" != sample ] || touch "${@: -1}"',
    "srun": '"$@"',
    "sbatch": """
echo "sbatch $*" >> log; tasks=none
while [[ $1 == --* ]]; do [[ $1 != --array=* ]] || tasks=$(seq 0 ${1#--array=0-}); shift; done
for i in $tasks; do SLURM_ARRAY_TASK_ID=$i bash "$@"; done; echo 17""",
}


def test_slurm_scripts_call_the_verbs(tmp_path, monkeypatch):
    for name, text in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)

    def called(script, *arguments):
        subprocess.run(["bash", SLURM / script, *arguments], check=True, capture_output=True)
        lines = Path("log").read_text().splitlines()
        Path("log").unlink()
        return lines

    assert called("train.sbatch", "a.py", "--out", "b") == ["train a.py --out b --multi-process"]
    lines = called("sample_and_merge.sh", "3", "out.h5", "RUN", "-n", "9")
    made = [f"sample RUN -n 9 --shard {i}/3 -o out.h5.parts/part_{i}" for i in range(3)]
    assert lines[1:4] == made
    assert lines[4].startswith("sbatch --dependency=afterok:17 ")
    parts = " ".join(f"out.h5.parts/part_{i}" for i in range(3))
    assert lines[5] == f"merge out.h5 {parts}"
