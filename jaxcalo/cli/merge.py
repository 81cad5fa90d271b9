"""`jaxcalo merge OUT PART PART ...`."""

from pathlib import Path

import tyro


def merge(
    out: tyro.conf.Positional[Path], parts: tyro.conf.Positional[tuple[Path, ...]], /
) -> None:
    """Join the parts that `jaxcalo sample --shard I/N` made into the file it makes without --shard.

    All data are the same to the bit. A part that is missing, given twice, cut short or of another
    sample is refused.

    Args:
        out: The file to write; it appears only when it is whole.
        parts: All N parts, in any order: showers or clouds (HDF5), or four-lepton events (CSV).
    """
    from jaxcalo.data.merge import merge as merge_parts
    from jaxcalo.errors import InputError

    if not parts:
        raise InputError("merge: expected OUT and all parts of a sample, found no part; name them")
    print(f"{out}: {merge_parts(out, parts)} events from {len(parts)} parts")
