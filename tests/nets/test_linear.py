import jax
import jax.numpy as jnp
import numpy as np
from jaxpr_equations import equations, products_with_long_rows
from net_cases import normal

from jaxcalo.nets import Dense, dense
from jaxcalo.nets.linear import scaled_uniform


def test_dense_is_the_product_on_the_last_axis():
    x, w, b = normal(0, (2, 3, 4, 5)), normal(1, (5, 6)), normal(2, (6,))
    expected = np.einsum("abci,io->abco", x, w) + np.asarray(b)
    np.testing.assert_allclose(dense(x, w, b), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dense(x, w), expected - np.asarray(b), rtol=1e-5, atol=1e-5)


def test_dense_flattens_forward_and_backward():
    x, w = normal(0, (2, 3, 5)), normal(1, (5, 6))
    for product, trapped in ((dense, False), (lambda x, w: x @ w, True)):
        gradient = jax.grad(lambda x, w, f=product: jnp.sum(f(x, w) ** 2), (0, 1))
        assert bool(products_with_long_rows(equations(gradient, x, w))) is trapped


def test_dense_module_keeps_f32_parameters_and_computes_in_the_given_type():
    x = normal(0, (7, 5))
    module = Dense(6, compute_dtype=jnp.bfloat16)
    params = module.init(jax.random.key(0), x)
    assert {a.dtype for a in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert module.apply(params, x).dtype == jnp.bfloat16
    exact = Dense(6).apply(params, x)
    np.testing.assert_allclose(module.apply(params, x).astype(jnp.float32), exact, atol=0.05)


def test_weights_start_with_the_variance_of_their_fan_in():
    w = scaled_uniform(2.0)(jax.random.key(0), (3, 3, 4, 500))
    # The sample variance of 18,000 uniform numbers is good to 1 per cent.
    np.testing.assert_allclose(w.var(), 2 / 36, rtol=0.04)
    assert abs(w.mean()) < 0.01
    np.testing.assert_array_equal(w, scaled_uniform(2.0)(jax.random.key(0), (3, 3, 4, 500)))
    assert not np.array_equal(w, scaled_uniform(2.0)(jax.random.key(1), (3, 3, 4, 500)))


def test_weights_are_drawn_flat():
    found = equations(lambda key: scaled_uniform()(key, (3, 4, 5)), jax.random.key(0))
    draws = [e for e, _ in found if e.primitive.name == "random_bits"]
    assert [e.params["shape"] for e in draws] == [(60,)]
