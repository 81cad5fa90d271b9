"""Four-lepton events from Pythia 8, which the extra `pythia` installs."""

import numpy as np

from jaxcalo.data.four_lepton import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.typing import Observe

THRESHOLD_GEV = 5.0
MAX_ETA = 2.7

_SEEDS = (1, 900_000_000)  # what Pythia takes; its 0 is the time of day
_SETTINGS = (
    "Print:quiet = on",
    "Beams:eCM = 13000.",
    "WeakDoubleBoson:ffbar2gmZgmZ = on",
    "23:mMin = 12.",
    "PhaseSpace:mHatMin = 100.",
    "23:onMode = off",
    "23:onIfAny = 11 13",
    "PartonLevel:MPI = off",
    # leptons of bosons are final before hadrons are made
    "HadronLevel:all = off",
    "Random:setSeed = on",
)
_HARD_BOSON = -22  # Pythia's status of what the hard process makes and what decays
_Z = 23
_MOST_FAILURES = 1000


def pythia_leptons(n_events: int, seed: int, observe: Observe) -> LeptonEvents:
    """Generate q qbar -> gamma*/Z gamma*/Z -> 4 leptons in proton collisions at 13 TeV.

    Electrons and muons, with radiation from quarks and leptons, no underlying event. Before
    radiation the bosons have masses above 12 GeV, and all together above 100 GeV. All four leptons
    have p_T > 5 GeV and |eta| < 2.7. The order is that of the files, see `four_lepton`; which boson
    is the first is random. One seed gives one sample, of which a smaller one is the beginning.

    Args:
        n_events: how many events pass.
        seed: 1 to 900,000,000.
        observe: told the number of events done, and of all.

    Raises:
        InputError: no event is asked for, the seed is none of Pythia's, Pythia is not installed or
            does not work.

    Source: Bierlich et al., A comprehensive guide to the physics and usage of PYTHIA 8.3,
        SciPost Phys. Codebases 8 (2022).
    """
    if n_events < 1:
        raise InputError(f"-n: expected at least 1 event, found {n_events}")
    if not _SEEDS[0] <= seed <= _SEEDS[1]:
        raise InputError(f"--seed: expected {_SEEDS[0]} to {_SEEDS[1]}, found {seed}")
    pythia = _started(seed)
    pdg = np.zeros((n_events, 4), np.int32)
    momentum = np.zeros((n_events, 4, 4))
    n_done, n_failed = 0, 0
    while n_done < n_events:
        if not pythia.next():
            n_failed += 1
            if n_failed == _MOST_FAILURES:
                raise InputError(
                    f"Pythia failed {n_failed} times, last after {n_done} events; try another seed"
                )
            continue
        found = _leptons(pythia.event)
        if found is not None:
            pdg[n_done], momentum[n_done] = found
            n_done += 1
            observe(n_done, n_events)
    return LeptonEvents(pdg, momentum)


def _started(seed: int):
    try:
        import pythia8mc  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            "generating events needs Pythia 8, which is not installed; install it by"
            " pip install 'jaxcalo[pythia]'"
        ) from error
    pythia = pythia8mc.Pythia("", False)
    for setting in (*_SETTINGS, f"Random:seed = {seed}"):
        if not pythia.readString(setting):
            raise InputError(
                f"Pythia does not know {setting!r}; install the version of the extra 'pythia'"
            )
    if not pythia.init():
        raise InputError("Pythia did not start; reinstall the extra 'pythia'")
    return pythia


def _leptons(event) -> tuple[list[int], list[list[float]]] | None:
    """The pdg and E, px, py, pz of the four leptons, or None if one is outside the limits."""
    particles = []
    for i in range(event.size()):
        if event[i].id() == _Z and event[i].status() == _HARD_BOSON:
            boson = event[event[i].iBotCopyId()]
            pair = [event[j] for j in boson.daughterList() if abs(event[j].id()) in (11, 13)]
            pair = [event[lepton.iBotCopyId()] for lepton in pair]
            particles += sorted(pair, key=lambda lepton: -lepton.id())
    if len(particles) != 4:
        return None
    if not all(p.pT() > THRESHOLD_GEV and abs(p.eta()) < MAX_ETA for p in particles):
        return None
    pdg = [p.id() for p in particles]
    return pdg, [[p.e(), p.px(), p.py(), p.pz()] for p in particles]
