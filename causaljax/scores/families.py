"""Factorisations of very many small families of one matrix.

A family is a child and its parents. A library factorises one matrix a call, with all
variables in it. Here all families take a step together, the arithmetic runs along the
families, and as many steps are taken as the largest set of parents asks for: sparse
graphs cost little.
"""

import functools

import jax
import jax.numpy as jnp

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.problem import like_data
from causaljax.core.types import Array

_BITS = 32


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def schur_complements(
    matrix: Array, graphs: Array, least: float
) -> tuple[Array, Array]:
    """Log-determinants of parents' blocks, and what is left of children given them.

        l_j = log |R_PP|,   v_j = R_jj - R_jP R_PP^-1 R_Pj,   P the parents of j

    so that log |R_FF| = l_j + log v_j of the family F, which is P and j.

    Args:
      matrix: ``[k, d, d]`` float, R, positive definite; one for each child, k = d, or
        one for all, k = 1.
      graphs: ``[c, d, d, s]`` bool, in c batches of s; batches are worked on one after
        another, those of a few thousand families fastest. The diagonal must be False.
      least: what no v and no pivot can be smaller than, above 0; smaller ones are
        rounding.

    Returns:
      (log_determinant, complement), ``[c, d, s]`` float each.

    Differentiable: in matrix, where no pivot is below ``least``.
    """
    d = matrix.shape[-1]
    batches, num = graphs.shape[0], graphs.shape[-1]
    child = jnp.repeat(jnp.arange(d, dtype=jnp.int32), num)
    own = child * d * d if matrix.shape[0] == d else jnp.zeros_like(child)
    entries = matrix.ravel()
    # Rows of the factors, the child's entries last, and who the parents are: the space
    # is handed on, for what is in it is written before it is read.
    rows = jnp.zeros((max(d - 1, 1), d, d * num), matrix.dtype)
    names = jnp.zeros((max(d - 1, 1), d * num), jnp.int32)

    def factorise(space, parents):
        rows, names = space
        count = parents.sum(axis=0, dtype=jnp.int32)
        most = count.max()

        def name(k, carry):
            words, names = carry
            lowest, words = _take_lowest(words)
            return words, names.at[k].set(lowest)

        names = jax.lax.fori_loop(0, most, name, (_words(parents), names))[1]

        def add_parent(k, carry):
            rows, complement, log_determinant = carry
            start = own + names[k] * d

            # Of the rows before k; two versions of all rows would be a copy a step.
            def remainder(rows, other, column):
                def reduce(q, left):
                    return left - rows[q, k] * rows[q, column]

                return jax.lax.fori_loop(0, k, reduce, entries[start + other])

            pivot = jnp.maximum(remainder(rows, names[k], k), least)
            present = k < count
            scale = jnp.where(present, jax.lax.rsqrt(pivot), 0)

            def fill(column, rows):
                entry = scale * remainder(rows, names[column], column)
                return rows.at[k, column].set(entry)

            rows = jax.lax.fori_loop(k + 1, most, fill, rows)
            last = scale * remainder(rows, child, d - 1)
            rows = rows.at[k, d - 1].set(last)
            logs = jnp.where(present, jnp.log(pivot), 0)
            return rows, complement - last * last, log_determinant + logs

        alone = entries[own + child * (d + 1)]
        begin = rows, alone, 0 * alone
        rows, complement, log_determinant = jax.lax.fori_loop(
            0, most, add_parent, begin
        )
        return (rows, names), (log_determinant, jnp.maximum(complement, least))

    given = entries[0] + graphs[0, 0, 0, 0].astype(entries.dtype)
    space = like_data((rows, names), given)
    parents = graphs.reshape(batches, d, d * num)
    _, found = jax.lax.scan(factorise, space, parents)
    return jax.tree.map(lambda leaf: leaf.reshape(batches, d, num), found)


@schur_complements.defjvp
def _schur_complements_jvp(least, primals, tangents):
    # d log |R_PP| = tr(R_PP^-1 dR_PP) and dv = c' dR c, where c is 1 at the child and
    # minus its coefficients at the parents.
    (matrix, graphs), (tangent, _) = primals, tangents
    d = matrix.shape[-1]
    identity = jnp.eye(d, dtype=matrix.dtype)

    def one(family):
        parents, child = family
        own = jnp.minimum(child, matrix.shape[0] - 1)
        inside = parents[:, None] & parents[None, :]
        inverse = jnp.linalg.inv(jnp.where(inside, matrix[own], identity))
        inverse = jnp.where(inside, inverse, 0)
        contrast = identity[child] - matmul(inverse, matrix[own][:, child])
        change = tangent[own]
        return (inverse * change).sum(), matmul(contrast, matmul(change, contrast))

    families = jnp.moveaxis(graphs, 1, 3)  # [c, d, s, d]
    shape = families.shape[:-1]
    children = jnp.broadcast_to(jnp.arange(d)[None, :, None], shape).ravel()
    change = map_factorisations(one, (families.reshape(-1, d), children))
    change = jax.tree.map(lambda leaf: leaf.reshape(shape), change)
    return schur_complements(matrix, graphs, least), change


def _words(sets):
    """Sets ``[d, f]`` bool as the bits of words ``[w, f]``."""
    d, num = sets.shape
    number = -(-d // _BITS)
    sets = jnp.pad(sets, ((0, number * _BITS - d), (0, 0))).astype(jnp.uint32)
    places = jnp.arange(_BITS, dtype=jnp.uint32)[None, :, None]
    shifted = sets.reshape(number, _BITS, num) << places
    return shifted.sum(axis=1, dtype=jnp.uint32)


def _take_lowest(words):
    """The least members of sets, 0 of empty ones, and the sets without them."""
    lowest = jnp.zeros_like(words[0], jnp.int32)
    found, left = lowest > 0, []
    for number, word in enumerate(words):
        bit = word & (~word + jnp.uint32(1))
        hit = (word != 0) & ~found
        place = jax.lax.population_count(bit - jnp.uint32(1)).astype(jnp.int32)
        lowest = jnp.where(hit, number * _BITS + place, lowest)
        left.append(jnp.where(hit, word ^ bit, word))
        found = found | hit
    return lowest, jnp.stack(left)
