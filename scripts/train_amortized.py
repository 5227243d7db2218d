"""Trains the amortized network on an endless stream of simulated tables.

    python scripts/train_amortized.py gate
    python scripts/train_amortized.py train RUN_FOLDER --steps 12000
    python scripts/train_amortized.py export RUN_FOLDER
    python scripts/train_amortized.py plot RUN_FOLDER

``train`` goes on from the newest checkpoint of the folder, with weights bit for bit as
if it had never stopped on the same devices; stop it at any second. ``--warm-start
WEIGHTS`` begins a new run, with a new learning-rate schedule, at exported weights.
Every step draws its tables afresh from the seed and its own number, so no data is
stored. Data-parallel over all devices, each of which draws its own share of the
tables: another number of devices sees other tables. ``--devices`` cuts a CPU into that
many. Needs the extra: ``pip install 'causaljax[train]'``.
"""

import argparse
import functools
import json
import os
import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Kind
from causaljax.graphs.metrics import auroc
from causaljax.kernels.amortized import decide
from causaljax.networks import pair_transformer
from causaljax.networks.network import GraphLogits
from causaljax.networks.out_of_distribution import fit_reference, summarise
from causaljax.networks.training import Losses, losses
from causaljax.networks.weights import (
    Calibration,
    Weights,
    load_weights,
    network_of,
    save_weights,
)
from causaljax.plot.calibrations import reliability
from causaljax.simulate.training_mix import HIDDEN_SHARE, draw_table


class Plan(NamedTuple):
    """Network and tables; sizes of tables are (variables, rows, how many)."""

    network: pair_transformer.NetworkConfig
    buckets: tuple  # (variables, rows, tables a step, share of the steps)
    validation: tuple
    standardise: tuple  # for mean and spread of the statistics
    calibration: tuple
    familiar: tuple  # for what a familiar table looks like
    hidden: float = HIDDEN_SHARE  # share of tables pooled from unrecorded interventions


FULL = Plan(
    network=pair_transformer.NetworkConfig(),
    buckets=(
        (2, 400, 128, 0.03),
        (3, 400, 128, 0.03),
        (5, 400, 96, 0.05),
        (10, 1000, 64, 0.22),
        (10, 4000, 32, 0.07),
        (20, 1000, 24, 0.30),
        (20, 4000, 16, 0.06),
        (30, 600, 12, 0.08),
        (50, 1000, 6, 0.11),
        (100, 1000, 2, 0.05),
    ),
    validation=((10, 1000, 96), (20, 1000, 64), (50, 1000, 16)),
    standardise=((10, 1000, 128), (20, 1000, 64), (50, 1000, 16)),
    calibration=(
        (3, 400, 300), (5, 400, 400), (10, 300, 200), (10, 1000, 300),
        (10, 4000, 60), (20, 300, 100), (20, 1000, 150), (20, 4000, 40),
        (30, 600, 50), (50, 1000, 40),
    ),
    familiar=(
        (2, 400, 700), (3, 400, 700), (5, 400, 700), (10, 300, 700),
        (10, 1000, 800), (20, 300, 400), (20, 1000, 500), (30, 600, 200),
        (50, 1000, 100),
    ),
)  # fmt: skip
SHORT = FULL._replace(
    buckets=(
        (2, 400, 128, 0.03),
        (4, 400, 96, 0.06),
        (10, 1000, 64, 0.35),
        (20, 1000, 24, 0.44),
        (50, 1000, 6, 0.09),
        (100, 1000, 2, 0.03),
    ),
    validation=((10, 1000, 96), (20, 1000, 64)),
    calibration=(
        (2, 400, 300), (4, 400, 300), (10, 1000, 300), (20, 1000, 160),
        (50, 1000, 40),
    ),
    familiar=(
        (2, 400, 700), (3, 400, 700), (4, 400, 700), (10, 1000, 1400),
        (20, 1000, 800), (50, 1000, 140),
    ),
)  # fmt: skip
SMALL = Plan(
    network=pair_transformer.NetworkConfig(
        width=8, num_blocks=2, triangles=2, num_heads=2, head_width=2, hidden=8
    ),
    buckets=((3, 40, 4, 0.5), (4, 40, 4, 0.5)),
    validation=((4, 40, 4),),
    standardise=((4, 40, 16),),
    calibration=((4, 40, 16),),
    familiar=((4, 40, 32),),
)
TRIAL = FULL._replace(
    buckets=((10, 1000, 64, 1.0),), standardise=((10, 1000, 128),),
    calibration=((10, 1000, 300),), familiar=((10, 1000, 800),),
    validation=((10, 1000, 96),),
)  # fmt: skip
PLANS = {"full": FULL, "short": SHORT, "small": SMALL, "trial": TRIAL}
EMA_RATE = 0.999
SHIPPED = pathlib.Path(__file__).parents[1] / "causaljax" / "networks" / "pretrained"


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train_parser = commands.add_parser("train")
    train_parser.add_argument("folder", type=pathlib.Path)
    train_parser.add_argument("--steps", type=int, default=12000)
    train_parser.add_argument("--peak", type=float, default=2e-3)
    train_parser.add_argument("--seed", type=int, default=0)
    train_parser.add_argument("--devices", type=int, default=2)
    train_parser.add_argument("--warm-start", help="a name or file of weights")
    train_parser.add_argument("--validate-every", type=int, default=500)
    train_parser.add_argument("--save-seconds", type=float, default=60)
    train_parser.add_argument(
        "--until",
        type=int,
        help="save and stop at this step; the learning rate still falls until --steps",
    )
    export_parser = commands.add_parser("export")
    export_parser.add_argument("folder", type=pathlib.Path)
    export_parser.add_argument("--name", default="pair-v3")
    export_parser.add_argument("--to", type=pathlib.Path, default=SHIPPED)
    for command in (train_parser, export_parser):
        command.add_argument(
            "--plan",
            choices=PLANS,
            default="full",
            help="short: six sizes, for a run of an hour; small: a tiny network, to "
            "try the script; trial: 10 variables only",
        )
        command.add_argument(
            "--hidden",
            type=float,
            default=HIDDEN_SHARE,
            help="share of tables pooled from interventions nobody recorded",
        )
    plot_parser = commands.add_parser("plot")
    plot_parser.add_argument("folder", type=pathlib.Path)
    commands.add_parser("gate")
    options = parser.parse_args()
    if "plan" in options:
        options.plan = PLANS[options.plan]._replace(hidden=options.hidden)
    if options.command == "train":
        jax.config.update("jax_num_cpu_devices", options.devices)
        train(options)
    elif options.command == "export":
        export(options)
    elif options.command == "gate":
        gate()
    else:
        plot(options.folder)


OPTIMISER = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.scale_by_adam(),
    optax.add_decayed_weights(1e-2),
)


def learning_rate(step, steps, peak):
    """A short warm-up, then a cosine to zero; outside the compiled step, see below."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, peak, max(1, min(200, steps // 20)), steps
    )
    return schedule(step)


def read_table(key, d, n, plan):
    """A drawn table as the network gets it."""
    draw = draw_table(key, d, n, plan.hidden)
    return draw, pair_transformer.inputs(draw.problem, plan.network)


def table_losses(params, draw, inputs, config):
    """Losses of one table."""
    beliefs = pair_transformer.edge_logits(
        params, inputs, draw.problem.allowed, draw.problem.required, config
    )
    return losses(beliefs, draw.graph, draw.known, draw.target, draw.confounded)


def make_step(mesh, plan, d, n, batch):
    """One training step of a bucket, ``(state, key, rate) -> (state, losses)``.

    The learning rate is an argument: another schedule compiles nothing anew.

    Each device draws ``batch / devices`` tables, rounded down but at least one, from
    seed, step and its own place in the mesh; gradients are averaged over devices.
    """
    per_device = max(1, batch // mesh.size)

    def shard(state, key, rate):
        key = jax.random.fold_in(key, state["step"])
        key = jax.random.fold_in(key, jax.lax.axis_index("tables"))
        draws, inputs = jax.lax.map(
            lambda key: read_table(key, d, n, plan), jax.random.split(key, per_device)
        )

        def mean_losses(network):
            params = {"network": network, "standardise": state["standardise"]}
            each = jax.vmap(lambda a, b: table_losses(params, a, b, plan.network))(
                draws, inputs
            )
            means = Losses(*(loss.mean() for loss in each))
            return means.total, means

        grads, means = jax.grad(mean_losses, has_aux=True)(state["network"])
        grads, means = jax.lax.pmean((grads, means), "tables")
        updates, optimiser_state = OPTIMISER.update(
            grads, state["optimiser"], state["network"]
        )
        network = jax.tree.map(
            lambda old, update: old - rate * update, state["network"], updates
        )
        kept = jnp.minimum(EMA_RATE, (1 + state["step"]) / (10 + state["step"]))
        average = jax.tree.map(
            lambda old, new: kept * old + (1 - kept) * new, state["average"], network
        )
        return {
            **state,
            "network": network,
            "average": average,
            "optimiser": optimiser_state,
            "step": state["step"] + 1,
        }, means

    everywhere = PartitionSpec()
    sharded = jax.shard_map(
        shard,
        mesh=mesh,
        in_specs=(everywhere, everywhere, everywhere),
        out_specs=everywhere,
        check_vma=False,
    )
    return quick_jit(sharded, donate_argnums=0)


def standardisation(plan):
    """Mean and standard deviation of the statistics over tables of several sizes."""
    grids = []
    for d, n, count in plan.standardise:
        parts = read_tables(plan, d, n, count, seed=977)
        grid = np.concatenate([np.asarray(inputs) for _, inputs, *_ in parts])
        grids.append(grid[:, ~np.eye(d, dtype=bool)].reshape(-1, grid.shape[-1]))
    mean = np.mean([grid.mean(0) for grid in grids], 0)
    square = np.mean([((grid - mean) ** 2).mean(0) for grid in grids], 0)
    return {
        "mean": jnp.asarray(mean, jnp.float32),
        "sd": jnp.asarray(np.maximum(np.sqrt(square), 0.05), jnp.float32),
    }


def validation_sets(plan):
    """The frozen validation tables: nothing revealed, the same in every run."""
    sets = {}
    for d, n, count in plan.validation:
        keys = jax.random.split(jax.random.key(20261124), count)
        draw = quick_jit(
            lambda keys, d=d, n=n: jax.lax.map(
                lambda key: read_table(key, d, n, plan), keys
            )
        )
        draws, inputs = draw(keys)
        nothing = jnp.zeros_like(draws.known)
        free = jnp.broadcast_to(~jnp.eye(d, dtype=bool), nothing.shape)
        problem = draws.problem._replace(
            allowed=free, required=nothing, x=jnp.zeros((count, 1, 1))
        )
        hidden = draws.target.any(1)
        recorded = draws.problem.intervened.any((1, 2))
        classes = (draws.problem.kind != Kind.CONTINUOUS).any(1)
        confounded = draws.confounded.any((1, 2))
        odd = hidden | recorded | classes | confounded
        sets[d] = draws._replace(problem=problem, known=nothing), inputs, {
            "hidden": np.asarray(hidden),
            "recorded": np.asarray(recorded),
            "classes": np.asarray(classes),
            "confounded": np.asarray(confounded),
            "plain": np.asarray(~odd),
        }  # fmt: skip
    return sets


def probabilities(edge):
    """P(i -> j) from the logits of the three-way choice, ``[d, d]``."""
    return jax.nn.softmax(jnp.stack([jnp.zeros_like(edge), edge, edge.T], -1))[..., 1]


def make_validate(config):
    """Losses and AUROC of one validation set."""

    @jax.jit
    def validate(params, draws, inputs):
        def one(table):
            draw, inputs = table
            beliefs = pair_transformer.edge_logits(
                params, inputs, draw.problem.allowed, draw.problem.required, config
            )
            parts = losses(
                beliefs, draw.graph, draw.known, draw.target, draw.confounded
            )
            area = auroc(draw.graph, probabilities(beliefs.edge))
            return parts, area, auroc(draw.confounded, beliefs.confounded)

        return jax.lax.map(one, (draws, inputs), batch_size=8)

    return validate


def bucket_of(plan, seed, step):
    """The bucket of a step, whatever came before it."""
    chooser = np.random.default_rng((seed, step))
    shares = np.array([bucket[3] for bucket in plan.buckets])
    return plan.buckets[chooser.choice(len(shares), p=shares / shares.sum())]


def read_log(path):
    """The entries of a log; a last line that was cut short is left out."""
    entries = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries


def rewind_log(path, step):
    """Drops what was logged after ``step``; the seconds of training until then."""
    entries = [entry for entry in read_log(path) if entry["step"] <= step]
    shortened = path.with_suffix(".new")
    shortened.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    os.replace(shortened, path)
    return max((entry.get("seconds", 0) for entry in entries), default=0)


def new_state(config, seed):
    """A run before its first step."""
    params = pair_transformer.init_params(jax.random.key(seed), config)
    return {
        "network": params["network"],
        "average": params["network"],
        "standardise": params["standardise"],
        "optimiser": OPTIMISER.init(params["network"]),
        "step": jnp.zeros((), jnp.int32),
    }


def train(options):
    """Trains until ``options.until``, or else ``options.steps``, steps are done."""
    folder, plan = options.folder.absolute(), options.plan
    folder.mkdir(parents=True, exist_ok=True)
    config, until = plan.network, min(options.until or options.steps, options.steps)
    mesh = Mesh(np.array(jax.devices()), ("tables",))
    state = new_state(config, options.seed)
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    # A checkpoint gets its name once it is whole. Not in the background: the step
    # that follows overwrites the state.
    manager = ocp.CheckpointManager(
        folder / "checkpoints",
        options=ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False
        ),
    )
    if manager.latest_step() is not None:
        state = manager.restore(
            manager.latest_step(), args=ocp.args.StandardRestore(state)
        )
    else:
        card = None
        if options.warm_start:
            weights = load_weights(options.warm_start)
            if weights.network.config != config:
                raise SystemExit(f"{options.warm_start} is of another size")
            state |= {**weights.params, "average": weights.params["network"]}
            card = weights.card
        else:
            state["standardise"] = standardisation(plan)
        state = jax.device_put(
            jax.tree.map(jnp.array, state), NamedSharding(mesh, PartitionSpec())
        )
        begun = {"seed": options.seed, "peak": options.peak, "warm_start": card}
        (folder / "run.json").write_text(json.dumps(begun))

    steps = {}
    sets, validate = validation_sets(plan), make_validate(config)
    key = jax.random.key(options.seed + 1)
    done = int(state["step"])
    spent = rewind_log(folder / "log.jsonl", done)

    def num_tables(batch):
        return max(1, batch // mesh.size) * mesh.size

    tables = sum(
        num_tables(bucket_of(plan, options.seed, step)[2]) for step in range(done)
    )
    started = saved_at = time.monotonic()
    recent = []  # losses since the last entry of the log, or since the start

    def log(entry):
        with (folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)

    while (step := int(state["step"])) < until:
        d, n, batch, _ = bucket_of(plan, options.seed, step)
        if (d, n) not in steps:
            steps[d, n] = make_step(mesh, plan, d, n, batch)
        rate = learning_rate(step, options.steps, options.peak)
        state, means = steps[d, n](state, key, jnp.float32(rate))
        recent.append([d, *map(float, means)])
        tables += num_tables(batch)
        step += 1
        if step % 100 == 0:
            rows = np.array(recent)
            log({
                "step": step, "seconds": round(spent + time.monotonic() - started, 1),
                "tables": tables, "edge": {
                    str(int(size)): round(float(rows[rows[:, 0] == size, 2].mean()), 4)
                    for size in np.unique(rows[:, 0])
                },
                "ancestor": round(float(rows[:, 3].mean()), 4),
                "order": round(float(rows[:, 4].mean()), 4),
                "target": round(float(rows[:, 5].mean()), 4),
                "confounded": round(float(rows[:, 6].mean()), 4),
            })  # fmt: skip
            recent = []
        last = step == until
        if step == options.steps or step % options.validate_every == 0:
            params = {"network": state["average"], "standardise": state["standardise"]}
            entry = {"step": step, "validation": {}}
            for d, (draws, inputs, kinds) in sets.items():
                parts, area, confounder = validate(params, draws, inputs)
                edge, area = np.asarray(parts.edge), np.asarray(area)
                entry["validation"][d] = {
                    "edge": round(float(edge.mean()), 4),
                    "auroc": round(float(np.nanmean(area)), 4),
                    "confounder": round(float(np.nanmean(confounder)), 4),
                    **{
                        kind: round(float(np.nanmean(area[which])), 4)
                        for kind, which in kinds.items()
                        if which.any()
                    },
                }
            log(entry)
        if last or time.monotonic() - saved_at > options.save_seconds:
            manager.save(step, args=ocp.args.StandardSave(state))
            saved_at = time.monotonic()
    manager.close()


def latest_params(folder, config):
    """The averaged weights of a run's newest checkpoint, and its step."""
    manager = ocp.CheckpointManager(folder.absolute() / "checkpoints")
    step = manager.latest_step()
    if step is None:
        raise SystemExit(f"{folder} holds no checkpoint")
    # On whatever devices there are now, not those of the run.
    here = jax.device_put(new_state(config, 0), jax.devices()[0])
    state = manager.restore(step, args=ocp.args.StandardRestore(here))
    return {"network": state["average"], "standardise": state["standardise"]}, step


@functools.cache
def reader(plan, d, n):
    """A program that draws and reads tables, one a key: graph, inputs, rows."""

    def read(key):
        draw, inputs = read_table(key, d, n, plan)
        rows = jnp.sum(draw.problem.weight * draw.problem.observed.mean(1))
        return draw.graph, inputs, jnp.maximum(rows, 1), draw.confounded

    return quick_jit(lambda keys: jax.lax.map(read, keys))


def read_tables(plan, d, n, count, seed):
    """Fresh tables in parts of equal size, so that one program serves all."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), n + d), count)
    size = min(count, 20)
    for start in range(0, count - count % size, size):
        yield reader(plan, d, n)(keys[start : start + size])


def calibrate(params, plan):
    """Temperatures and threshold, on fresh tables of which nothing is revealed."""
    tables = []

    @jax.jit
    def answer(params, inputs):
        free = ~jnp.eye(inputs.shape[1], dtype=bool)
        nothing = jnp.zeros_like(free)

        def one(inputs):
            beliefs = pair_transformer.edge_logits(
                params, inputs, free, nothing, plan.network
            )
            return beliefs.edge, beliefs.confounded

        return jax.lax.map(one, inputs, batch_size=8)

    for d, n, count in plan.calibration:
        parts = [
            (graph, confounded, rows, *answer(params, inputs))
            for graph, inputs, rows, confounded in read_tables(
                plan, d, n, count, seed=4451
            )
        ]
        tables.append(Answered(*map(jnp.concatenate, zip(*parts, strict=True))))

    def edge_loss(logits, table):
        each = jax.vmap(
            lambda edge, graph: (
                losses(beliefs_of(edge), graph, jnp.zeros_like(graph)).edge
            )
        )
        return each(logits, table.graph).mean()

    def confounder_loss(logits, table):
        each = jax.vmap(
            lambda logits, confounded, graph: (
                losses(
                    beliefs_of(logits),
                    graph,
                    jnp.zeros_like(graph),
                    confounded=confounded,
                ).confounded
            )
        )
        return each(logits, table.confounded, table.graph).mean()

    temperature, raw, after = fit_temperature(
        [(table.edge, table) for table in tables], edge_loss
    )
    confounder_temperature, *change = fit_temperature(
        [(table.confounder, table) for table in tables], confounder_loss
    )
    print("loss of hidden causes", *change)
    for table in tables:
        above = np.triu(np.ones(table.graph.shape[1:], bool), 1)
        stated = jax.nn.sigmoid(
            scaled(confounder_temperature, table.confounder, table.rows)
        )
        error = reliability(
            np.asarray(stated)[:, above], np.asarray(table.confounded)[:, above]
        ).error
        print(f"their calibration error at d = {len(above)}: {error:.4f}")

    thresholds = np.arange(0.3, 0.71, 0.05)
    scores = []
    for table in tables[2:] or tables:  # not the least
        logits = scaled(temperature, table.edge, table.rows)
        prob = jax.vmap(probabilities)(logits)

        @jax.jit
        def f1(prob, graph, threshold):
            decided = jax.lax.map(
                lambda p: decide(p, threshold, jnp.zeros_like(p, bool)), prob
            )
            hits = (decided & graph).sum((1, 2))
            return jnp.mean(2 * hits / (decided.sum((1, 2)) + graph.sum((1, 2)) + 1e-9))

        scores.append([float(f1(prob, table.graph, level)) for level in thresholds])
    mean = np.mean(scores, 0)
    print("F1 by threshold", dict(zip(thresholds.round(2), mean.round(4), strict=True)))
    calibration = Calibration(
        np.asarray(temperature),
        np.asarray(confounder_temperature),
        float(thresholds[mean.argmax()]),
    )
    return calibration, raw, after


class Answered(NamedTuple):
    """Tables of one size, the truth and what the network says."""

    graph: jax.Array
    confounded: jax.Array
    rows: jax.Array
    edge: jax.Array
    confounder: jax.Array


def beliefs_of(logits):
    """One matrix in place of every answer, for losses that read one of them."""
    return GraphLogits(logits, logits, logits[0], logits, logits[0])


def scaled(t, logits, rows):
    """Logits over their temperature: see ``kernels.amortized``."""
    size = jnp.log(logits.shape[-1] / 20)
    temperature = jnp.exp(t[0] + t[1] * size + t[2] * jnp.log(rows / 1000))
    return logits / temperature[:, None, None]


def fit_temperature(answers, loss_of):
    """The temperature of least loss over all sizes, and the loss before and after."""

    # Answers are arguments: with constants the compiler would compute.
    @jax.jit
    def loss(t, answers):
        each = [
            loss_of(scaled(t, logits, table.rows), table) for logits, table in answers
        ]
        return sum(each) / len(each)

    solver = optax.lbfgs()

    @jax.jit
    def improve(t, state, answers):
        value, gradient = jax.value_and_grad(loss)(t, answers)
        updates, state = solver.update(
            gradient,
            state,
            t,
            value=value,
            grad=gradient,
            value_fn=lambda t: loss(t, answers),
        )
        return optax.apply_updates(t, updates), state

    t = jnp.zeros(3)
    state = solver.init(t)
    for _ in range(30):
        t, state = improve(t, state, answers)
    return t, float(loss(jnp.zeros(3), answers)), float(loss(t, answers))


def familiar(plan):
    """What the statistics of training tables look like."""
    summaries = {}
    for d, n, count in plan.familiar:
        for _, inputs, *_ in read_tables(plan, d, n, count, seed=8117):
            summaries.setdefault(d, []).append(jax.vmap(summarise)(inputs))
    return fit_reference({d: np.concatenate(s) for d, s in summaries.items()})


def export(options):
    """Calibrates the newest checkpoint and writes the file that users load."""
    plan = options.plan
    params, step = latest_params(options.folder, plan.network)
    calibration, raw, after = calibrate(params, plan)
    print(f"{calibration}, loss {raw} -> {after}")
    reference = familiar(plan)
    entries = read_log(options.folder / "log.jsonl")
    begun = json.loads((options.folder / "run.json").read_text())
    before = begun["warm_start"] or {"tables": 0, "seconds": 0}

    def so_far(name):
        counts = [e[name] for e in entries if name in e and e["step"] <= step]
        return round(before[name] + max(counts, default=0))

    card = {
        "name": options.name,
        "max_columns": max(bucket[0] for bucket in plan.buckets),
        "tables": so_far("tables"),
        "seconds": so_far("seconds"),
        "loss": round(after, 4),
        "steps": step,
        **begun,
    }
    options.to.mkdir(parents=True, exist_ok=True)
    save_weights(
        options.to / f"{options.name}.safetensors",
        Weights(
            params=params,
            network=network_of(pair_transformer, plan.network),
            calibration=calibration,
            reference=reference,
            card=card,
        ),
    )


def gate():
    """How well a logistic regression on the statistics of a pair alone does.

    Below an AUROC of .8 there is a bug to find before any training.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    d, n, num_train, num_test = 10, 600, 400, 200
    parts = list(read_tables(FULL, d, n, num_train + num_test, seed=5))
    graphs, grids = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    grids = np.concatenate([grids, np.abs(grids)], -1)
    pairs = ~np.eye(d, dtype=bool)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    seen = grids[:num_train, pairs].reshape(-1, grids.shape[-1])
    model.fit(seen, graphs[:num_train, pairs].ravel())
    areas = []
    for graph, grid in zip(graphs[num_train:], grids[num_train:], strict=True):
        prob = model.predict_proba(grid.reshape(d * d, -1))[:, 1].reshape(d, d)
        areas.append(float(auroc(graph, prob)))
    print(f"AUROC {np.nanmean(areas):.3f} over {num_test} tables, wanted .80")


def plot(folder):
    """Draws loss and AUROC by step into ``training.png`` of the folder."""
    import matplotlib.pyplot as plt

    entries = read_log(folder / "log.jsonl")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sizes = {size: None for entry in entries for size in entry.get("validation", {})}
    for number, size in enumerate(sizes):
        logs = [e for e in entries if size in e.get("edge", {})]
        checks = [e for e in entries if size in e.get("validation", {})]
        steps = [e["step"] for e in checks]
        scores = [e["validation"][size] for e in checks]
        style = {"color": f"C{number}", "label": f"{size} variables"}
        stream = [e["edge"][size] for e in logs]
        left.plot([e["step"] for e in logs], stream, color=f"C{number}", alpha=0.4)
        left.plot(steps, [score["edge"] for score in scores], ".-", **style)
        right.plot(steps, [score["auroc"] for score in scores], ".-", **style)
    left.set_title("frozen tables (dots); stream, parts revealed (faint)")
    left.set(xlabel="step", ylabel="edge loss, nats a pair", yscale="log")
    right.set(xlabel="step", ylabel="AUROC on the frozen tables")
    right.legend()
    figure.savefig(folder / "training.png", dpi=120)


if __name__ == "__main__":
    main()
