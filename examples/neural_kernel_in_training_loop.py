"""The neural kernel inside another JAX program that learns what its columns mean.

Three sensors mix three causes in ways only known up to an angle. The angle is learned
by gradient descent on the likelihood that the networks give to rows they have not
seen; each turn of the loop runs the kernel for a step and moves the angle, in one
jitted program.
"""

import jax
import jax.numpy as jnp
import optax

from causaljax import types
from causaljax.kernels import neural

key_data, key_init, key_steps = jax.random.split(jax.random.key(0), 3)
noise = jax.random.normal(key_data, (400, 3))
a = noise[:, 0]
b = jnp.sin(2 * a) + 0.2 * noise[:, 1]
causes = jnp.stack([a, b, b**2 + 0.3 * noise[:, 2]], axis=1)
causes = (causes - causes.mean(0, keepdims=True)) / causes.std(0, keepdims=True)


def turned(table, angle):
    """The last two columns, rotated."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return table @ jnp.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])


sensors = turned(causes, 0.4)
config = neural.Config(hidden=16, layers=1, num_steps=8, num_updates=50)
optimiser = optax.adam(0.1)


@jax.jit
def learn(angle):
    """Angle and graph after eight steps of both."""
    problem = types.make_problem(turned(sensors, angle))
    state = neural.KERNEL.init(key_init, problem, config)

    def turn(carry, key):
        angle, moments, state = carry

        def loss_of(angle):
            problem = types.make_problem(turned(sensors, angle))
            new, info = neural.KERNEL.step(key, state, problem, config)
            return info.loss, new

        (loss, state), slope = jax.value_and_grad(loss_of, has_aux=True)(angle)
        update, moments = optimiser.update(slope, moments)
        return (optax.apply_updates(angle, update), moments, state), loss

    start = angle, optimiser.init(angle), state
    keys = jax.random.split(key_steps, config.num_steps)
    (angle, _, state), losses = jax.lax.scan(turn, start, keys)
    return angle, state.graph, losses


angle, graph, losses = learn(jnp.zeros(()))
print("held-out loss, nats a row:", losses.round(2))
print(f"angle {angle:.2f}")
print("graph", graph.astype(int).tolist())
