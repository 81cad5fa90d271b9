"""`jaxcalo quickstart`: the main job on the shipped showers."""

import time
from pathlib import Path


def quickstart(out: Path = Path("quickstart")) -> None:
    """Train on real Geant4 showers, generate new ones, and judge them against unseen showers.

    About 5 minutes on two CPU cores. Run it again to go on where it stopped, or only to
    sample and judge again.

    Args:
        out: The folder for the run, the generated showers and the report.
    """
    from jaxcalo.cli.evaluate import run_evaluation
    from jaxcalo.cli.sample import sample
    from jaxcalo.cli.train import run_training
    from jaxcalo.data import sample_path
    from jaxcalo.recipes import RECIPES

    start = time.monotonic()
    run, generated = out / "run", out / "samples.h5"
    test = sample_path("par04_lite_test")
    print(
        "jaxcalo quickstart: electrons of 1 to 50 GeV in a silicon-tungsten calorimeter "
        "(Geant4 11.4),\n"
        "15 layers x 8 azimuth x 6 radius = 720 voxels. "
        "2728 showers to train on, 800 others to judge by.\n"
        f"\n1/3 training a diffusion transformer into {run}"
    )
    run_training(RECIPES["par04_lite"], run)
    print(
        f"\n2/3 generating 800 showers at the incident energies of the test showers "
        f"into {generated}"
    )
    sample(run, out=generated, energies_from=test)
    print(f"\n3/3 comparing them with Geant4 into {out / 'report'}")
    run_evaluation(test, generated, "par04_lite", out / "report")
    print(
        f"\ndone in {(time.monotonic() - start) / 60:.1f} minutes. Next:\n"
        f"  open {out / 'report' / 'report.html'}\n"
        f"  jaxcalo sample {run} -n 1000 --energy 20 -o electrons_20gev.h5\n"
        f"  jaxcalo distill {run} --to consistency      (minutes; then one evaluation a shower)\n"
        "  jaxcalo train par04_lite --help"
    )
