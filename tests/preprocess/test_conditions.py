"""Conditions as a network sees them, against numpy; what is refused and what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import (
    Classes,
    Continuous,
    LayerShapes,
    check_conditions,
    draw_conditions,
    encode_conditions,
    fit,
    fit_condition,
    n_condition_columns,
    outside_ranges,
    prepare,
)

IMPACT = Continuous("impact_mm", (1.0, -2.0), (4.0, 0.5), ((-5.0, 6.0), (-3.0, -1.0)))
PDG = Classes("pdg", (-11, 22, 211))
BOTH = (IMPACT, PDG)


def columns(n=500):
    """Positions of different widths, far from 0, and classes."""
    position, kind = jax.random.split(jax.random.key(3))
    numbers = np.asarray(jax.random.normal(position, (n, 2))) * [3.0, 1e-3] + [1e3, 5.0]
    classes = np.asarray(jax.random.choice(kind, jnp.asarray([22, -11, 211]), (n, 1)))
    return numbers.astype(np.float32), classes.astype(np.float32)


def test_continuous_is_standardised():
    numbers, _ = columns()
    found = fit_condition("impact_mm", numbers, is_whole=False)
    exact = numbers.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, exact.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.ranges, np.stack([numbers.min(0), numbers.max(0)], axis=1))
    assert (found.name, found.size) == ("impact_mm", 2)
    encoded = np.asarray(jax.vmap(found.encode)(numbers))
    expected = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    # Single precision keeps 1e3 +- 3 to 1e-5 of its width, and 5 +- 0.001 to 3e-4.
    np.testing.assert_allclose(encoded, expected, atol=1e-3)


def test_a_column_that_never_varies_keeps_its_scale():
    constant = np.full((7, 2), 0.1, np.float32)
    constant[:, 1] = np.arange(7)
    found = fit_condition("angle", constant, is_whole=False)
    assert found.std == (1.0, 2.0)
    encoded = np.asarray(found.encode(jnp.asarray([0.1, 6.0])))
    np.testing.assert_allclose(encoded, [0.0, 1.5], atol=1e-7)


def test_classes_are_one_hot_in_increasing_order():
    _, classes = columns()
    found = fit_condition("pdg", classes, is_whole=True)
    assert found == PDG
    encoded = np.asarray(jax.vmap(found.encode)(classes))
    np.testing.assert_array_equal(encoded, classes == np.array([-11, 22, 211]))
    np.testing.assert_array_equal(encoded.sum(axis=1), 1)


def test_neighbouring_large_classes_are_told_apart():
    classes = Classes("pdg", (2**24 - 2, 2**24 - 1))
    np.testing.assert_array_equal(classes.encode(jnp.asarray([2.0**24 - 1])), [0, 1])


@pytest.mark.parametrize(
    ("values", "found"),
    [(np.arange(33)[:, None], "1 columns with 33"), (np.ones((9, 2)), "2 columns with 1")],
)
def test_whole_numbers_that_are_no_classes_are_refused(values, found):
    with pytest.raises(InputError, match=f"'cell': expected one column of at most 32 .*{found}"):
        fit_condition("cell", values.astype(np.float32), is_whole=True)


def test_several_are_joined_in_their_order():
    raw = jnp.asarray([3.0, -1.5, 22.0])
    np.testing.assert_allclose(encode_conditions(BOTH, raw), [0.5, 1.0, 0, 1, 0])
    turned = encode_conditions((PDG, IMPACT), jnp.asarray([211.0, 3.0, -1.5]))
    np.testing.assert_allclose(turned, [0, 0, 1, 0.5, 1.0])
    assert encode_conditions((), jnp.zeros(0)).shape == (0,)
    assert (n_condition_columns(BOTH), n_condition_columns(())) == (3, 0)


def test_a_preprocessor_takes_the_energy_and_the_further_conditions():
    detector = load_geometry("ecal_crystals")
    energy, voxels, _ = toy_showers(jax.random.key(0), detector, 60)
    constants = fit(LayerShapes(), detector, [(energy, voxels)])
    ready = prepare(LayerShapes(), detector, constants, BOTH)
    found = ready.condition(jnp.asarray([energy[5], 3.0, -1.5, 211.0]))
    logarithm = np.log(energy.astype(np.float64))
    standardised = (logarithm[5] - logarithm.mean()) / logarithm.std()
    np.testing.assert_allclose(found, [standardised, 0.5, 1.0, 0, 0, 1], rtol=1e-4)
    alone = prepare(LayerShapes(), detector, constants).condition(jnp.asarray([energy[5]]))
    np.testing.assert_allclose(alone, [standardised], rtol=1e-4)
    with pytest.raises(InputError, match=r"energy and 3 further numbers, found the shape \(1,\)"):
        ready.condition(jnp.asarray([energy[5]]))


def test_only_what_was_trained_on_is_known():
    raw = np.array([[0, 0, 22], [0, 0, -11], [0, 0, 13], [0, 0, 14]], np.float32)
    check_conditions(BOTH, raw[:2], "x.h5")
    check_conditions((), None, "x.h5")
    message = r"x.h5: 'pdg' of shower 102 must be one of .* \(-11, 22, 211\), found 13;"
    with pytest.raises(InputError, match=message):
        check_conditions(BOTH, raw, "x.h5", 100)
    with pytest.raises(InputError, match=r"expected 3 columns .*impact_mm \(2\), pdg.* found 0"):
        check_conditions(BOTH, None, "x.h5")
    with pytest.raises(InputError, match=r"expected 0 columns .*\(none\), found 3"):
        check_conditions((), raw, "x.h5")


def test_values_beyond_the_trained_range_are_told():
    raw = np.array([[0, -2, 22], [-5, -3, 22], [6, -1, 22], [6.1, -2, 22], [0, -3.1, 22]])
    found = outside_ranges(BOTH, raw.astype(np.float32))
    np.testing.assert_array_equal(found, [False, False, False, True, True])
    unknown = Continuous("angle", (0.0,), (1.0,))
    assert not outside_ranges((unknown,), np.full((1, 1), 1e9, np.float32)).any()


def test_drawn_conditions_are_like_those_trained_on():
    n = 20_000
    wide = Continuous("angle", (3.0,), (0.5,))
    drawn = np.asarray(draw_conditions(jax.random.key(1), (PDG, wide, IMPACT), n), np.float64)
    shares = (drawn[:, :1] == PDG.values).mean(axis=0)
    np.testing.assert_allclose(shares, 1 / 3, atol=5 * np.sqrt(2 / 9 / n))
    assert abs(drawn[:, 1].mean() - 3.0) < 5 * 0.5 / np.sqrt(n)
    assert abs(drawn[:, 1].std() - 0.5) < 5 * 0.5 / np.sqrt(2 * n)
    assert not outside_ranges((IMPACT,), drawn[:, 2:].astype(np.float32)).any()
    assert abs(np.corrcoef(drawn[:, 1:].T)[np.triu_indices(3, 1)]).max() < 5 / np.sqrt(n)
    # Cut at one standard deviation below and 1.25 above the mean.
    assert drawn[:, 2].min() == -5.0
    assert abs(np.median(drawn[:, 2]) - 1.0) < 5 * 4 * 1.2533 / np.sqrt(n)
