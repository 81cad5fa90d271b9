"""What is asked of a sample becomes the raw conditions of its showers, or one clear error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxcalo.data import Showers, ShowerWriter
from jaxcalo.errors import InputError
from jaxcalo.experiment import Data, Experiment, Request, TrainedModel
from jaxcalo.experiment.sampling import requested_conditions, typical_conditions
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import Classes, Continuous, outside_ranges

IMPACT = Continuous("impact_mm", (0.0, 1.0), (2.0, 3.0), ((-5.0, 5.0), (-4.0, 6.0)))
BOTH = (IMPACT, Classes("pdg", (11, 22)))
FIXED = {"impact_mm": (1.5, -3.0), "pdg": (22.0,)}


def trained(conditions=BOTH) -> TrainedModel:
    """A run without a network: only what is asked of it matters here."""
    nothing: Any = None
    names = tuple(condition.name for condition in conditions)
    experiment = Experiment(data=Data(augment=not names, conditions=names))
    detector = load_geometry("ecal_crystals")
    return TrainedModel(
        nothing, nothing, nothing, detector, experiment, 0, (1e3, 5e4), tuple(conditions)
    )


def reference(path, classes=(22, 11, 22)) -> tuple[Path, np.ndarray]:
    """A file of three showers, its data sets in another order, and their raw conditions."""
    energy = np.array([1e3, 2e3, 3e3], np.float32)
    impact = np.array([[1, 2], [3, 4], [-1, 0.5]], np.float32)
    pdg = np.array(classes, np.float32)[:, None]
    with ShowerWriter(path, 2, None, {"pdg": 1, "extra": 1, "impact_mm": 2}, ["pdg"]) as writer:
        further = np.concatenate([pdg, pdg, impact], axis=1)
        writer.append(Showers(energy, np.ones((3, 2), np.float32), further))
    return path, np.concatenate([energy[:, None], impact, pdg], axis=1)


def test_fixed_values_are_those_of_every_shower():
    raw, first = requested_conditions(Request(4, 2.0, conditions=FIXED), trained())
    np.testing.assert_array_equal(raw, [[2e3, 1.5, -3, 22]] * 4)
    assert (raw.dtype, first) == (np.float32, 0)
    order = {"pdg": (22.0,), "impact_mm": (1.5, -3.0)}
    turned, _ = requested_conditions(Request(4, 2.0, conditions=order), trained())
    np.testing.assert_array_equal(turned, raw)
    spread, _ = requested_conditions(Request(4, conditions=FIXED), trained())
    assert len(np.unique(spread[:, 0])) == 4
    np.testing.assert_array_equal(spread[:, 1:], raw[:, 1:])


def test_a_file_gives_energies_and_conditions_in_order_and_again(tmp_path):
    path, expected = reference(tmp_path / "x.h5")
    raw, _ = requested_conditions(Request(energies_from=path), trained())
    np.testing.assert_array_equal(raw, expected)
    raw, _ = requested_conditions(Request(7, energies_from=path), trained())
    np.testing.assert_array_equal(raw, expected[[0, 1, 2, 0, 1, 2, 0]])
    part, first = requested_conditions(Request(7, energies_from=path, shard=(1, 2)), trained())
    np.testing.assert_array_equal(part, raw[3:])
    assert first == 3
    alone, _ = requested_conditions(Request(energies_from=path), trained(()))
    np.testing.assert_array_equal(alone, expected[:, :1])


def test_a_file_without_the_conditions_or_with_unknown_ones(tmp_path):
    path, _ = reference(tmp_path / "x.h5", (22, 13, 11))
    with pytest.raises(InputError, match=r"x.h5: 'pdg' of shower 1 must be one of .*found 13"):
        requested_conditions(Request(energies_from=path), trained())
    other = (Continuous("angle", (0.0,), (1.0,)),)
    with pytest.raises(InputError, match=r"x.h5 lacks the data set 'angle'"):
        requested_conditions(Request(energies_from=path), trained(other))
    with pytest.raises(InputError, match=r"none with --energies-from.*found impact_mm, pdg"):
        requested_conditions(Request(energies_from=path, conditions=FIXED), trained())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"impact_mm=VALUE,VALUE pdg=11\|22.* found none of impact_mm, pdg;.*--energies-from"),
        ({"pdg": (22.0,)}, "found none of impact_mm; give --condition"),
        (FIXED | {"angle": (1.0,)}, r"--condition: expected impact_mm=VALUE,.*found angle;"),
        (FIXED | {"pdg": (13.0,)}, r"--condition: expected pdg=11\|22, found pdg=13;"),
        (FIXED | {"pdg": (22.5,)}, r"expected pdg=11\|22, found pdg=22.5;"),
        (FIXED | {"pdg": (11.0, 22.0)}, r"expected pdg=11\|22, found pdg=11,22;"),
        (FIXED | {"impact_mm": (1.0,)}, r"expected impact_mm=VALUE,VALUE, found impact_mm=1;"),
        (FIXED | {"impact_mm": (1.0, np.nan)}, r"found impact_mm=1,nan;"),
    ],
)
def test_fixed_values_that_do_not_fit(given, message):
    with pytest.raises(InputError, match=message) as caught:
        requested_conditions(Request(4, conditions=given), trained())
    assert "\n" not in str(caught.value)


def test_a_run_on_the_energy_alone_takes_no_conditions():
    with pytest.raises(InputError, match=r"expected none, .*only the energy, found pdg"):
        requested_conditions(Request(4, conditions={"pdg": (22.0,)}), trained(()))


def test_typical_conditions_lie_where_the_run_was_trained():
    raw = typical_conditions(trained(), 500, seed=3)
    assert raw.shape == (500, 4)
    assert raw.dtype == np.float32
    sample, _ = requested_conditions(Request(500, conditions=FIXED, seed=3), trained())
    np.testing.assert_array_equal(raw[:, 0], sample[:, 0])
    assert not outside_ranges(BOTH, raw[:, 1:]).any()
    assert set(raw[:, 3]) == {11, 22}
    assert raw[:, 1].std() > 1.0
    np.testing.assert_array_equal(typical_conditions(trained(()), 500, 3), raw[:, :1])


def test_symmetries_and_conditions_exclude_each_other():
    with pytest.raises(InputError, match=r"\(impact_mm\).*pass --data.augment False"):
        Data(conditions=("impact_mm",))
    assert Data(conditions=("impact_mm",), augment=False).conditions == ("impact_mm",)
