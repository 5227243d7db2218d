"""Networks that read a table and say what they believe of its graph.

One module an architecture, each with the same functions: ``init_params``,
``inputs`` and ``edge_logits``. The only room that imports flax.
"""
