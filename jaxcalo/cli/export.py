"""`jaxcalo export RUN --format FORMAT -o FILE`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxcalo.cli.samplers import AnyGridName, SamplerName, changed_sampling
from jaxcalo.errors import InputError


def export(
    run: tyro.conf.Positional[Path],
    /,
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    format: Literal["stablehlo", "onnx", "par04"] = "stablehlo",
    noise: bool = False,
    sampler: SamplerName | None = None,
    steps: int | None = None,
    grid: AnyGridName | None = None,
    guidance: float | None = None,
    member: int | None = None,
    batch_size: int | None = None,
) -> None:
    """Write the sampler of a run on voxels to a file that runs without jaxcalo.

    The parameters and the preprocessing are inside: incident energies (MeV) and a seed or noise in,
    voxel energies (MeV) out. FILE.json says the names, shapes and units. experiments/export shows
    how to run the file from Python, from C++ and in Geant4.

    Args:
        run: The run folder.
        out: The file to write.
        format: stablehlo is run by JAX on CPU, GPU and TPU, and with --batch-size by any PJRT
            plugin from C++ (FILE.mlirbc). onnx is run by ONNX Runtime; par04 is ONNX with the input
            and the output that Geant4's example Par04 expects. These two need the extra
            jaxcalo[onnx].
        noise: Take standard normal noise in place of a seed, as ONNX always does; not for samplers
            that draw noise on their way (ddpm, dpmpp-2m-sde, reverse-sde).
        sampler: The method; default: the recipe's.
        steps: Steps from noise to shower; default: the recipe's.
        grid: Where the steps are; default: what suits the sampler, or the recipe's.
        guidance: Classifier-free guidance scale (1: none); default: the recipe's.
        member: Number of the member of an ensemble that makes all showers, from 0; default: each
            is made by a member drawn at random, which needs a seed.
        batch_size: Showers of a call; default: any number.
    """
    if batch_size is not None and batch_size < 1:
        raise InputError(f"--batch-size: expected at least 1, found {batch_size}")
    import jax

    if format != "stablehlo":
        # Convolutions are folded into two dimensions on a CPU only, and ONNX has no others.
        jax.config.update("jax_platforms", "cpu")

    from jaxcalo.experiment import (
        TrainedFamily,
        TrainedModel,
        load_trained,
        one_member,
        with_sampling,
    )
    from jaxcalo.experiment.exported import noise_sampler, par04_sampler, seeded_sampler
    from jaxcalo.export import export_onnx, export_stablehlo

    trained = load_trained(run)
    if not isinstance(trained, TrainedModel | TrainedFamily):
        raise InputError(
            f"{run}: expected a run on showers of voxels, found a "
            f"{type(trained.experiment).__name__}, which cannot be exported; give another run"
        )
    if member is not None:
        trained = one_member(trained, member)
    changes = (sampler, grid, steps, guidance)
    if any(change is not None for change in changes):
        trained = with_sampling(trained, changed_sampling(run, trained, *changes))
    if format == "stablehlo":
        pure = noise_sampler(trained) if noise else seeded_sampler(trained)
        export_stablehlo(pure, out, batch_size)
    else:
        pure = par04_sampler(trained) if format == "par04" else noise_sampler(trained)
        export_onnx(pure, out, batch_size)
    names = ", ".join(port.name for port in pure.inputs)
    print(f"{out}: {names} -> {pure.output.name}; described in {out}.json")
