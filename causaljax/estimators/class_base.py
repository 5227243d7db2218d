"""What methods of one graph have in common: its equivalence class, and refits."""

from typing import Any

import jax
import jax.numpy as jnp

from causaljax.core.bootstrap import bootstrap
from causaljax.core.compiling import quick_jit
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.estimators.base import BaseGraphEstimator
from causaljax.estimators.progress import Progress
from causaljax.graphs.cpdag import decided_pairs, essential_graph
from causaljax.graphs.edge_probabilities import class_probabilities


class BaseClassDAG(BaseGraphEstimator):
    """A graph whose directions the data may leave open, by a kernel of a subclass.

    A subclass has the option ``n_bootstrap``. Its kernel's posterior may have
    ``extra["told"]``, ``[s, d, d]`` bool, edges whose direction does not rest on the
    class, and ``extra["doubted"]``, likewise, edges of which a collider is no evidence.
    """

    n_bootstrap: int

    def _num_imputations(self):
        # The bootstrap draws rows, of which there must not be copies.
        return 1 if self.n_bootstrap else super()._num_imputations()

    def _check_bootstrap(self) -> None:
        if not isinstance(self.n_bootstrap, int) or self.n_bootstrap < 0:
            raise ValueError(
                f"n_bootstrap must be a whole number, not {self.n_bootstrap!r}"
            )

    def _with_probabilities(
        self,
        posterior: Posterior,
        kernel: Kernel,
        problem: Problem,
        config: Any,
        bar: Progress,
    ) -> tuple[Array, Posterior, dict[str, Any]]:
        """Edge probabilities, of the class or of refits.

        Args:
          posterior: of one graph.
          kernel: for refits.
          problem: the table.
          config: of refits.
          bar: takes the name of the stage.

        Returns:
          The essential graph ``[d, d]``; the posterior with probabilities, its graphs
          those of refits if there are any; and what ``info_`` says of it.
        """
        doubted = (posterior.extra or {}).get("doubted", jnp.zeros((1, 1, 1), bool))[0]
        essential, probabilities = _of_classes(posterior, problem, doubted)
        said = "share of class members"
        if self.n_bootstrap:
            said = "share of refits"
            bar.stage(f"{self.n_bootstrap} bootstrap replicates")
            posterior = bootstrap(
                kernel,
                jax.random.fold_in(jax.random.key(self._seed), 1),
                problem,
                config,
                self.n_bootstrap,
            )
            # Doubts are those of all rows, about the variables of the edges.
            near = (doubted | doubted.T).any(axis=0)
            doubted = near[:, None] | near[None, :]
            classes, probabilities = _of_classes(posterior, problem, doubted)
            extra = (posterior.extra or {}) | {"essential": classes}
            posterior = posterior._replace(extra=extra)
        posterior = posterior._replace(edge_prob=probabilities)
        return essential[0], posterior, {"edge_probabilities": said}

    def _graph_draws(self):
        claims = (self.posterior_.extra or {}).get("essential", ())
        pairs = zip(claims, self.posterior_.graphs, strict=False)
        return list(pairs), f"{len(claims)} refits on resampled rows"


@quick_jit(once=True)
def _of_classes(posterior, problem, doubted):
    """Essential graphs ``[s, d, d]``, and the mean probability of each edge in them."""
    graphs = posterior.graphs
    told = (posterior.extra or {}).get("told", jnp.zeros_like(graphs))
    fixed = decided_pairs(problem)[None] | told
    essential = jax.lax.map(
        lambda pair: essential_graph(pair[0], pair[1], doubted), (graphs, fixed)
    )
    prob = class_probabilities(essential).mean(axis=0)
    return essential, prob.astype(problem.x.dtype)
