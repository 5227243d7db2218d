"""CD-NOD: which mechanisms change, and directions that changes tell."""

import dataclasses
import functools

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.base import clone

import causaljax
from causaljax.core.compiling import quick_jit
from causaljax.core.types import make_problem
from causaljax.estimators.cdnod import CDNOD
from causaljax.graphs import marks
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import cdnod, driving_force, pc
from causaljax.scores.independence import domain_regression

DOMAINS, ROWS = 60, 30


def changing_data(seed, graph):
    """Linear mechanisms, all anew in each domain; ``[n, d]`` and ``[n]``."""
    rng, d = np.random.default_rng(seed), len(graph)
    domain = np.repeat(np.arange(DOMAINS), ROWS)
    x = np.zeros((len(domain), d))
    order = np.argsort((np.linalg.matrix_power(graph + np.eye(d), d) > 0).sum(axis=0))
    for j in order:
        intercept = rng.uniform(-2, 2, DOMAINS)[domain]
        slopes = rng.uniform(0.5, 2.5, (DOMAINS, d))[domain] * graph[:, j]
        scale = rng.uniform(0.5, 2, DOMAINS)[domain]
        x[:, j] = intercept + (slopes * x).sum(axis=1)
        x[:, j] += scale * rng.normal(size=len(domain))
    return x.astype(np.float32), domain.astype(np.int32)


def knowing(graph, changing):
    """A test that knows a DAG and what the domain, its last variable, changes."""
    with_domain = np.pad(graph, (0, 1))
    with_domain[-1, :-1] = changing
    return Separation(marks.from_graph(with_domain)).test()


def digraph(d, *edges):
    graph = np.zeros((d, d), bool)
    graph[*np.transpose(edges)] = True
    return graph


CONFIG = cdnod.Config(search=pc.Config(collider_rule="separator"), num_permutations=199)


def search(seed, graph, changing, config=CONFIG, **known):
    x, domain = changing_data(seed, graph)
    test = knowing(graph, changing)
    key = jax.random.key(seed)
    return cdnod.search(key, test, x, domain, config, batches=(8, 64), **known)


def test_the_domain_directs_what_it_can():
    """A chain of which the second and the fourth mechanism change."""
    chain = digraph(4, (0, 1), (1, 2), (2, 3))
    found = search(0, chain, [False, True, False, True])
    assert found.changing.tolist() == [False, True, False, True]
    # 0 -> 1 <- C and 2 -> 3 <- C are colliders; 1 -> 2, or 2 <- C would hold.
    np.testing.assert_array_equal(marks.to_graph(found.marks), chain)
    assert found.directions == ()


@pytest.mark.parametrize(
    "score", ["regression", pytest.param("kernel", marks=pytest.mark.slow)]
)
def test_changes_tell_a_direction_that_independence_leaves_open(score):
    graph, right = digraph(3, (0, 1)), 0  # PC alone leaves the edge open
    config = dataclasses.replace(CONFIG, direction_score=score)
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(3)
        shuffled = graph[np.ix_(order, order)]
        cause, effect = np.argwhere(shuffled)[0]
        found = search(seed, shuffled, [True] * 3, config)
        told = marks.to_graph(found.marks)
        assert not told[effect, cause] or told[cause, effect]  # never reversed
        right += not told[effect, cause]
        asked = {(one.cause, one.effect) for one in found.directions}
        assert asked == {(cause, effect), (effect, cause)}
        assert sum(one.taken for one in found.directions) == (not told[effect, cause])
        scores = [one.score for one in found.directions]
        assert sum(scores) == pytest.approx(0, abs=1e-2)
    assert right >= (6 if score == "regression" else 2)


def test_sinks_are_told_in_turn():
    """All three of a complete graph change: their order is what remains open."""
    graph, right = digraph(3, (0, 1), (0, 2), (1, 2)), 0
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(3)
        shuffled = graph[np.ix_(order, order)]
        found = search(seed, shuffled, [True] * 3)
        told = marks.to_graph(found.marks)
        told &= ~told.T
        assert (shuffled | ~told).all()
        right += told.sum()
        for one in found.directions:
            assert one.told or not one.taken
    assert right >= 12


def test_what_stays_as_it_is_tells_no_direction():
    """What varies is sampling error, of which a share below a fifth looks told."""
    graph = digraph(3, (0, 1))
    domain = np.repeat(np.arange(DOMAINS), ROWS).astype(np.int32)
    test, left_open = knowing(graph, [True] * 3), 0
    for seed in range(20):
        x = np.random.default_rng(seed).normal(size=(len(domain), 3))
        x[:, 1] += x[:, 0]
        x = x.astype(np.float32)
        found = cdnod.search(jax.random.key(0), test, x, domain, CONFIG)
        told = marks.to_graph(found.marks)
        left_open += np.array_equal(told, graph | graph.T)
    assert left_open >= 14


def test_changes_do_not_overrule_knowledge():
    graph = digraph(3, (0, 1))
    allowed = np.ones((4, 4), bool)
    allowed[0, 1] = False
    found = search(0, graph, [True] * 3, allowed=allowed)
    np.testing.assert_array_equal(marks.to_graph(found.marks), graph.T)
    assert found.directions == ()
    found = search(0, graph, [True] * 3, required=np.pad(graph, (0, 1)))
    np.testing.assert_array_equal(marks.to_graph(found.marks), graph)
    allowed = np.ones((4, 4), bool)
    allowed[3, 0] = False
    found = search(0, graph, [True] * 3, allowed=allowed)
    assert found.changing.tolist() == [False, True, True]


def test_modules_are_regressions_of_each_domain():
    graph = digraph(3, (0, 2), (1, 2))
    x, domain = changing_data(3, graph)
    weight = np.where(np.arange(len(x)) % 7 == 0, 0, 1).astype(np.float32)

    @quick_jit
    def both(x, domain, weight):
        given = cdnod.moments(x, domain, weight, DOMAINS)
        pair = cdnod.regress(given, 1, 2, np.array([True, False, False]))
        parts = cdnod.modules(pair)
        return parts, cdnod.modules(cdnod.joined(*parts))

    parts, again = both(x, domain, weight)
    for k in (0, 17, DOMAINS - 1):
        rows = x[(domain == k) & (weight > 0)].astype(float)
        ones = np.ones((len(rows), 1))
        for part, columns, child in zip(parts, ([0], [1, 0]), (1, 2), strict=True):
            design = np.concatenate([rows[:, columns], ones], axis=1)
            line, residual, *_ = np.linalg.lstsq(design, rows[:, child], rcond=None)
            expected = [*line[:-1], 0, 0, line[-1], np.log(residual[0] / len(rows))]
            np.testing.assert_allclose(part[k], expected, rtol=2e-3, atol=2e-3)
    for part, other in zip(parts, again, strict=True):
        np.testing.assert_allclose(other, part, rtol=2e-3, atol=2e-3)


def test_the_score_is_a_likelihood_ratio():
    """Against densities of the parameters that both directions share."""
    rng, k = np.random.default_rng(0), 200
    first = rng.normal(size=(k, 2)) * [1, 0.5]
    second = rng.normal(size=(k, 3)) * [0.7, 1, 0.4] + [1, 0, 0]
    pair = cdnod.joined(first.astype(np.float32), second.astype(np.float32))
    score = float(quick_jit(cdnod.log_ratio)(pair, np.ones(k, bool)))

    def shared(parameters):
        """Means, logarithms of variances and the covariance."""
        (mean, log_variance), (slope, intercept, log_rest) = (
            parameters[:2],
            parameters[2:],
        )
        variance = np.exp(log_variance)
        of_effect = slope**2 * variance + np.exp(log_rest)
        return np.array(
            [
                mean,
                log_variance,
                intercept + slope * mean,
                np.log(of_effect),
                slope * variance,
            ]
        )

    def log_density(first, second):
        tables = [first, second]
        total = 0
        for table in tables:
            law = scipy.stats.multivariate_normal(table.mean(axis=0), np.cov(table.T))
            total += law.logpdf(table).sum()
        for row in np.concatenate(tables, axis=1):  # and numerical derivatives
            steps = 1e-5 * np.eye(5)
            jacobian = [(shared(row + e) - shared(row - e)) / 2e-5 for e in steps]
            total -= np.linalg.slogdet(jacobian)[1]
        return total

    reverse = [np.asarray(part, float) for part in cdnod.modules(pair.reversed())]
    reverse = [part[:, np.ptp(part, axis=0) > 0] for part in reverse]
    expected = log_density(first, second) - log_density(*reverse)
    assert score == pytest.approx(expected, rel=0.1)


def test_few_rows_and_few_domains_tell_nothing():
    rng = np.random.default_rng(0)
    for domains, rows in ((3, 30), (20, 3)):
        domain = np.repeat(np.arange(domains), rows).astype(np.int32)
        x = rng.normal(size=(len(domain), 3)).astype(np.float32)
        asked = cdnod.evidence_of(jax.random.key(0), x, domain, CONFIG)
        one = np.array([0], np.int32), np.array([1], np.int32), np.zeros((1, 3), bool)
        evidence = asked(*one)
        assert np.asarray(evidence).tolist() == [[0], [1], [1]]
        assert not cdnod.is_told(evidence, domain, CONFIG).any()


def test_numbers_are_cut_into_classes_of_as_many_rows():
    domain = np.random.default_rng(0).normal(size=100)
    classes = cdnod.cut(domain)
    assert np.bincount(classes).tolist() == [10] * 10
    assert (np.diff(classes[np.argsort(domain)]) >= 0).all()
    assert cdnod.cut(np.zeros(7)).tolist() == [0] * 7
    assert cdnod.cut(np.zeros(0)).shape == (0,)


def test_the_permutation_test_keeps_its_level():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 150, 20, 2)).astype(np.float32)
    orders = np.stack([rng.permutation(20) for _ in range(150 * 39)])
    orders = orders.reshape(150, 39, 20)

    def kernel(table):
        squared = ((table[:, None] - table[None]) ** 2).sum(axis=2)
        return driving_force.centred_gaussian(squared)

    @quick_jit
    @jax.vmap
    def test(first, second, orders):
        return cdnod.dependence(kernel(first), kernel(second), orders)

    score, p, _ = map(np.asarray, test(first, second, orders))
    # The p-values are multiples of 1/40, each as probable: the mean is 41/80.
    assert np.mean(p) == pytest.approx(41 / 80, abs=4 * 0.29 / np.sqrt(150))
    assert np.mean(p <= 0.1) < 0.2
    assert ((score > -0.2) & (score < 1)).all()
    score, p, _ = map(np.asarray, test(first, first, orders))
    np.testing.assert_allclose(score, 1, rtol=1e-5)
    np.testing.assert_allclose(p, 1 / 40, rtol=1e-5)


def test_the_kernel_score_reads_time():
    """Means of the cause and slopes of the effect follow waves of their own."""
    time = np.arange(400) / 4
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 400))
    x += 2 * np.sin(time / 2)
    y = (1 + np.sin(time / 1.3)) * x + 0.5 * noise
    table = np.stack([x, y], axis=1).astype(np.float32)
    config = dataclasses.replace(CONFIG, direction_score="kernel")
    asked = cdnod.evidence_of(jax.random.key(0), table, time, config)
    pair = np.array([0, 1], np.int32), np.array([1, 0], np.int32)
    evidence = asked(*pair, np.zeros((2, 2), bool))
    score, p, p_reverse = map(np.asarray, evidence)
    assert score[0] == pytest.approx(-score[1], abs=1e-2)
    np.testing.assert_allclose(p, p_reverse[::-1])
    assert ((p >= 1 / 100) & (p <= 1)).all()  # shifts of 100 points along a circle
    assert not cdnod.is_told(evidence, time, config)[1]


# The test of independence


ASK = {  # x, y, given: 4 is the domain
    "mean of 0": (0, 4, []),
    "1 given 0": (1, 4, [0]),
    "2 given 0": (2, 4, [0]),
    "3 given 0": (3, 4, [0]),
    "1 and 3": (1, 3, []),
    "1 and 3 in domains": (1, 3, [0, 4]),
    "1 and 3 in the table": (1, 3, [0]),
}


@functools.cache
def domain_answers():
    """A function of a stack of tables: p-values of ``ASK``."""
    x, y, sets = zip(*ASK.values(), strict=True)
    given = np.full((len(sets), 2), -1)
    for row, one in zip(given, sets, strict=True):
        row[: len(one)] = one
    used = given >= 0

    def answer(table):
        config = domain_regression.Config(num_domains=32)
        stats = domain_regression.prepare(None, make_problem(table), config)
        ask = np.array(x), np.array(y), np.where(used, given, 0), used
        return domain_regression.p_values(stats, *ask).log_p

    return quick_jit(lambda tables: jax.lax.map(answer, tables))


def domain_tables(draws, change, domains=20, rows=20):
    """0 causes 1, 2 and 3; the domain changes 0's mean and what ``change`` says."""
    tables = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        domain = np.repeat(np.arange(domains), rows)
        noise = rng.laplace(size=(4, len(domain)))
        level = rng.uniform(-2, 2, (3, domains))[:, domain]
        x = level[0] + noise[0]
        table = [x, x + noise[1], x + noise[2], x + noise[3], domain]
        if change:
            table[1] = x + noise[1] + level[1]
            table[2] = (1 + 0.5 * level[1]) * x + noise[2]
            table[3] = x + noise[3] * np.exp(level[2] / 2)
        tables.append(np.stack(table, axis=1))
    return np.stack(tables)


def domain_p(*args, **kwargs):
    with jax.enable_x64(True):
        log_p = domain_answers()(domain_tables(*args, **kwargs))
    return dict(zip(ASK, np.exp(np.asarray(log_p)).T, strict=True))


def test_mechanisms_that_stay_look_so():
    p = domain_p(300, change=False)
    assert (p["mean of 0"] < 0.05).mean() > 0.99
    assert (p["1 and 3"] < 0.05).mean() > 0.99
    for name in list(ASK)[1:4] + list(ASK)[5:]:
        assert (p[name] < 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


def test_means_slopes_and_spreads_that_change_are_seen():
    p = domain_p(50, change=True)
    for name in ("1 given 0", "2 given 0", "3 given 0"):
        assert (p[name] < 0.05).mean() > 0.9
    assert (p["1 and 3 in domains"] < 0.05).mean() < 0.2


def test_a_curve_that_all_domains_share_is_no_change():
    tables = domain_tables(200, change=False)
    x, noise = tables[:, :, 0], tables[:, :, 1] - tables[:, :, 0]
    tables[:, :, 1] = x**2 / 2 + noise
    tables[:, :, 3] += x**2 / 2
    with jax.enable_x64(True):
        p = np.exp(np.asarray(domain_answers()(tables))).T
    p = dict(zip(ASK, p, strict=True))
    for name in ("1 given 0", "1 and 3 in domains", "1 and 3 in the table"):
        assert (p[name] < 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)


def test_parts_of_the_domain_test_are_those_of_scipy():
    table = domain_tables(1, change=True)[0]
    domain = table[:, 4]
    groups = [table[domain == k, 0] for k in range(20)]
    medians = scipy.stats.levene(*groups, center="median").pvalue
    means = scipy.stats.f_oneway(*groups).pvalue
    p = domain_p(1, change=True)["mean of 0"][0]
    assert p == pytest.approx(2 * min(means, medians), rel=1e-6)


def test_small_domains_have_no_say_in_slopes():
    p = domain_p(200, change=False, domains=30, rows=5)
    for name in ("1 given 0", "1 and 3 in domains"):
        assert (p[name] < 0.05).mean() < 0.12


# The estimator


def table_of_sites(seed=0, sites=DOMAINS, rows=20):
    """b -> c -> e, all but b change; words for sites, rows in no order."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(sites), rows)
    b, c, e = rng.normal(size=(3, len(site)))
    c += b + rng.uniform(-2, 2, sites)[site]
    e += rng.uniform(0.5, 2.5, sites)[site] * c
    words = np.array([f"site {k}" for k in rng.permutation(sites)])
    table = pd.DataFrame({"e": e, "site": words[site], "b": b, "c": c})
    return table.sample(frac=1, random_state=seed, ignore_index=True)


def drawn(model):
    edges = model.edges_[["source", "mark", "target"]].to_numpy().tolist()
    return {(tuple(sorted((a, b))) if m == "---" else (a, b), m) for a, m, b in edges}


SITES = {
    (("site", "c"), "-->"),
    (("site", "e"), "-->"),
    (("b", "c"), "-->"),
    (("c", "e"), "-->"),
}
MODEL = CDNOD(domain="site", alpha=0.01)


def test_the_estimator_finds_what_changes(tmp_path):
    table = table_of_sites()
    model = clone(MODEL).fit(table)
    assert drawn(model) == SITES
    assert model.changing_.to_dict() == {"e": True, "b": False, "c": True}
    assert list(model.marks_) == list(table)
    assert model.info_["test"] == "domain_regression"
    assert model.info_["num_domains"] == DOMAINS
    why = model.edges_.set_index(["source", "target"])["why"]
    assert why["site", "c"] == "the mechanism of c changes"
    assert "The mechanisms of e, c change over site" in model.summary()
    model.save(tmp_path / "model")
    again = causaljax.load(tmp_path / "model")
    assert again.summary() == model.summary()
    pd.testing.assert_series_equal(again.changing_, model.changing_)
    assert str(again.explain("b", "e")) == str(model.explain("b", "e"))
    assert model.sepsets_
    force = again.driving_force("c", table)
    assert set(force.index) == set(table["site"])
    assert len(force.attrs["shares"]) == 2
    means = (table["c"] - table["b"]).groupby(table["site"]).mean()[force.index]
    assert abs(np.corrcoef(force["signal_1"], means)[0, 1]) > 0.9
    with pytest.raises(ValueError, match="mechanism of 'b' does not change"):
        model.driving_force("b", table)


def test_directions_between_what_changes_are_told():
    x, domain = changing_data(0, digraph(2, (0, 1)))
    table = pd.DataFrame(x, columns=["c", "e"]).assign(site=[f"s{k}" for k in domain])
    table = table[["e", "site", "c"]]
    for score in cdnod.SCORES:
        model = clone(MODEL).set_params(direction_score=score).fit(table)
        assert (("e", "c"), "-->") not in drawn(model)
        rows = pd.DataFrame(model.info_["direction_tests"])
        assert set(zip(rows["cause"], rows["effect"], strict=True)) == {
            ("c", "e"),
            ("e", "c"),
        }
        if score == "regression":
            assert (("c", "e"), "-->") in drawn(model)
            assert rows.set_index("cause")["verdict"].to_dict() == {
                "c": "taken",
                "e": "open",
            }
            why = model.edges_.set_index(["source", "target"])["why"]
            assert "independently in this direction alone" in why["c", "e"]
            assert "in this direction alone" in str(model.explain("c", "e"))
        elif (rows["verdict"] == "open").all():
            assert "do not tell enough of the directions" in model.summary()


def test_neither_order_nor_rows_without_weight_matter():
    table = table_of_sites(2)
    model = clone(MODEL).fit(table)
    other = clone(MODEL).fit(table[["c", "b", "site", "e"]])
    assert drawn(model) == drawn(other)
    names = list(table)
    pd.testing.assert_frame_equal(
        model.p_values_, other.p_values_.loc[names, names], check_names=False
    )
    more = pd.concat([table, table_of_sites(3) * 1], ignore_index=True)
    weight = np.repeat([1.0, 0.0], len(table))
    assert drawn(clone(MODEL).fit(more, sample_weight=weight)) == drawn(model)
    hit = pd.DataFrame(False, index=more.index, columns=more.columns)
    hit.loc[len(table) :, "b"] = True
    told = clone(MODEL).fit(more, interventions=hit)
    assert drawn(told) == drawn(model)
    assert told.info_["rows_left_out"] == len(table)


def test_time_is_a_domain():
    """Huang's first example: x2 and x4 follow waves."""
    rng = np.random.default_rng(0)
    time = np.arange(1, 501)
    noise = 0.5 * rng.normal(size=(3, 500))
    x1 = rng.normal(size=500)
    x2 = 0.8 * x1 + 1.5 * np.sin(time / 50) + noise[0]
    x3 = 0.8 * x2 + noise[1]
    x4 = 0.8 * x3 + np.sin(time / 50) + np.sin(time / 20) + noise[2]
    table = pd.DataFrame({"x1": x1, "x2": x2, "x3": x3, "x4": x4, "t": time})
    model = CDNOD(domain="t", alpha=0.01).fit(table)
    assert [name for name, changes in model.changing_.items() if changes] == [
        "x2",
        "x4",
    ]
    force = model.driving_force("x2", table)
    wave = np.sin(force.index / 50)
    assert abs(np.corrcoef(force["signal_1"], wave)[0, 1]) > 0.9
    assert drawn(model) >= {(("x1", "x2"), "-->"), (("x3", "x4"), "-->")}


def test_classes_beside_the_domain():
    table = table_of_sites(4, sites=20, rows=60)
    table["b"] = np.where(table["b"] > 0, "high", "low")
    model = clone(MODEL).fit(table)
    assert model.info_["test"] == "degenerate_gaussian"
    assert model.changing_["c"]
    with pytest.raises(ValueError, match=r"reads numbers, and columns \['b'\]"):
        clone(MODEL).set_params(test="domain_regression").fit(
            table.assign(b=table["b"] + (table["e"] > 0).map(str))
        )


def test_knowledge_of_the_domain_is_obeyed():
    table = table_of_sites()
    known = causaljax.Knowledge(required=[("site", "b")], forbidden=[("site", "e")])
    model = clone(MODEL).fit(table, knowledge=known)
    assert model.changing_["b"]
    assert not model.changing_["e"]
    assert (
        "requires" in model.edges_.set_index(["source", "target"])["why"]["site", "b"]
    )
    known = causaljax.Knowledge(required=[("b", "site")])
    with pytest.raises(ValueError, match="requires b -> site"):
        clone(MODEL).fit(table, knowledge=known)


def test_mistakes_are_named():
    table = table_of_sites()
    for model, message in (
        (CDNOD(), r"needs the column that is the domain: CDNOD\(domain=...\)"),
        (CDNOD(domain="hospital"), "there is no column 'hospital'; choose one of"),
        (CDNOD(domain="site", test="z"), "test must be one of"),
        (CDNOD(domain="site", alpha=2), "alpha must be a number above 0"),
        (CDNOD(domain="site", direction_score="x"), "direction_score must be one of"),
        (CDNOD(domain="site", test="kci"), r"columns \['site'\] hold classes"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(table)
    holed = table.assign(site=table["site"].where(table.index != 3))
    with pytest.raises(ValueError, match="no value in 1 rows, the first of them 3"):
        clone(MODEL).fit(holed)
    with pytest.raises(ValueError, match="a domain a row"):
        clone(MODEL).fit(table.assign(site=[f"s{k}" for k in range(len(table))]))
    with pytest.raises(ValueError, match="holds 1 domain"), pytest.warns():
        clone(MODEL).fit(table.assign(site="one"))


def test_few_domains_are_warned_of():
    with pytest.warns(UserWarning, match="holds 5 domains: which mechanisms change"):
        clone(MODEL).fit(table_of_sites(sites=5, rows=60))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_strange_tables_have_an_answer():
    table = table_of_sites()
    numbers = table[["e", "b", "c"]]
    holes = numbers.mask(np.random.default_rng(1).random(numbers.shape) < 0.05)
    for given in (
        table.assign(copy=table["c"]),
        table.assign(constant=3.0),
        table.head(60),
        table.assign(**holes),
    ):
        model = clone(MODEL).fit(given)
        assert list(model.adjacency_) == list(given)
        assert np.isfinite(model.edges_["probability"]).all()
