"""CD-NOD from sums of clients: the p-values of all rows, and messages as files."""

import dataclasses
import pickle
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from causaljax.estimators import (
    Agreement,
    ClientSummary,
    ClientSums,
    FederatedCDNOD,
    FederatedClient,
)
from causaljax.estimators.federated import CLIENT
from causaljax.estimators.saved import load
from causaljax.graphs import marks
from causaljax.kernels.constraint import cdnod, federated, pc
from causaljax.tables import model_files

CLIENTS, ROWS = 4, 60
LAYOUT = federated.Layout((0, 0, 3, 0), 2)
SEARCH = {"num_permutations": 99}


def made(seed, clients=CLIENTS, rows=ROWS):
    """Three numbers and a column of three classes, and the client of each row."""
    rng = np.random.default_rng(seed)
    client = np.repeat(np.arange(clients, dtype=np.int32), rows)
    a = rng.normal(size=len(client))
    scale = rng.uniform(0.5, 2, clients)[client]
    b = scale * rng.normal(size=len(client)) - 2 * np.sin(a)
    group = np.digitize(a + rng.normal(size=len(client)), [-0.5, 1])
    c = (
        group
        + rng.uniform(0.5, 2.5, clients)[client] * b
        + rng.normal(size=len(client))
    )
    x = np.stack([a, b, group, c], axis=1)
    x[:, [0, 1, 3]] -= x[:, [0, 1, 3]].mean(axis=0)
    x[:, [0, 1, 3]] /= x[:, [0, 1, 3]].std(axis=0)
    return x, client


def summed(x, client, layout=LAYOUT):
    parts = [federated.sums(layout, x[client == k]) for k in np.unique(client)]
    return federated.join(parts)


def left(design, response):
    """What least squares leaves of the rows, and the rank of the design."""
    solution, _, rank, _ = np.linalg.lstsq(design, response, rcond=1e-10)
    return response - design @ solution, rank


class OfRows:
    """The tests by regressions on all rows, written down as they are defined."""

    def __init__(self, x, client, layout):
        self.own, self.waves = [], []
        for i, levels in enumerate(layout.levels):
            one = federated.columns(
                federated.Layout((levels,), layout.num_waves), x[:, [i]]
            )
            width = levels - 1 if levels else 1
            self.own.append(one[:, :width])
            self.waves.append(one[:, width:])
        self.numbers = [levels == 0 for levels in layout.levels]
        self.x, self.client, self.n = x, client, len(x)
        self.dummies = (client[:, None] == np.unique(client)[None]).astype(float)

    def own_of(self, z):
        return np.column_stack([np.ones((self.n, 0)), *(self.own[k] for k in z)])

    def waves_of(self, z):
        return np.column_stack([np.ones((self.n, 0)), *(self.waves[k] for k in z)])

    def of_each(self, table):
        """Columns that only one client has, with its intercept."""
        table = np.column_stack([np.ones(self.n), table])
        return np.column_stack([table * d[:, None] for d in self.dummies.T])

    def compare(self, before, after, response):
        first, rank = left(before, response)
        second, more = left(after, response)
        log_dets = [np.linalg.slogdet(e.T @ e)[1] for e in (first, second)]
        columns, tested = response.shape[1], more - rank
        rows = self.n - rank - (tested + columns + 1) / 2
        return rows * (log_dets[0] - log_dets[1]), tested * columns

    def pair(self, x, y, z):
        one = np.ones((self.n, 1))
        before = np.column_stack([one, self.own_of(z), self.waves_of(z)])
        after = np.column_stack([before, self.own[x], self.waves[x]])
        return self.compare(before, after, self.own[y])

    def pair_in_clients(self, x, y, z):
        own = self.of_each(self.own_of(z))
        rest, _ = left(own, self.own[y])
        weight = np.empty(self.n)
        for d in self.dummies.T:
            design = np.column_stack([np.ones(self.n), self.own_of(z)])[d > 0]
            freedom = d.sum() - np.linalg.matrix_rank(design)
            weight[d > 0] = freedom / (rest[d > 0] ** 2).sum(axis=0).mean()
        before = np.column_stack([own, self.waves_of(z)])
        after = np.column_stack(
            [
                self.of_each(self.own_of([*z, x])),
                self.waves_of(z),
                self.waves[x],
            ]
        )
        root = np.sqrt(weight)[:, None]
        return self.compare(root * before, root * after, root * self.own[y])

    def with_client(self, x, z):
        one = np.ones((self.n, 1))
        before = np.column_stack([one, self.own_of(z), self.waves_of(z)])
        own, curves = self.of_each(self.own_of(z)), self.waves_of(z)
        after = np.column_stack([own, curves])
        statistic, dof = self.compare(before, after, self.own[x])
        if not self.numbers[x]:
            return statistic, dof
        rest, rank = left(after, self.own[x])
        shared = rank - np.linalg.matrix_rank(own)
        excess, freedom, squares = 0, [], []
        for d in self.dummies.T > 0:
            design = np.column_stack([np.ones(self.n), self.own_of(z)])[d]
            freedom.append(d.sum() - np.linalg.matrix_rank(design))
            squares.append((rest[d] ** 2).sum())
            kurtosis = scipy.stats.kurtosis(self.own[x][d], fisher=False)[0]
            kurtosis *= (d.sum() + 1) / (d.sum() - 1)
            excess += d.sum() / self.n * (kurtosis - 3)
        freedom, squares = np.array(freedom, float), np.array(squares)
        freedom *= 1 - shared / freedom.sum()
        k, total = len(freedom), freedom.sum()
        spread = total * np.log(squares.sum() / total)
        spread -= (freedom * np.log(squares / freedom)).sum()
        spread /= 1 + ((1 / freedom).sum() - 1 / total) / (3 * (k - 1))
        return statistic + spread / (1 + max(excess, 0) / 2), dof + k - 1

    def log_p(self, x, y, z):
        client = len(self.own)
        if y == client:
            return scipy.stats.chi2.logsf(*self.with_client(x, z))
        ask = self.pair_in_clients if client in z else self.pair
        z = [k for k in z if k != client]
        sides = [scipy.stats.chi2.logsf(*ask(*pair, z)) for pair in ((x, y), (y, x))]
        if self.numbers[x] or self.numbers[y]:
            return min(min(sides) + np.log(2), 0)
        return sides[0]


QUESTIONS = [
    (0, 1, ()),
    (0, 2, ()),
    (1, 3, (0,)),
    (0, 3, (1, 2)),
    (2, 3, (0,)),
    (0, 1, (4,)),
    (0, 3, (1, 4)),
    (1, 2, (0, 4)),
    (2, 3, (0, 1, 4)),
    (0, 4, ()),
    (2, 4, (0,)),
    (1, 4, (0,)),
    (3, 4, (1, 2)),
]


def asked(test, questions=QUESTIONS):
    most = max(len(z) for *_, z in questions)
    x, y = (np.array([q[k] for q in questions]) for k in (0, 1))
    z, used = np.zeros((2, len(questions), most), int)
    for k, (*_, given) in enumerate(questions):
        z[k, most - len(given) :], used[k, most - len(given) :] = given, 1
    return test(x, y, z, used.astype(bool))


@pytest.mark.parametrize("waves", [0, 2])
def test_p_values_are_those_of_all_rows(waves):
    layout = LAYOUT._replace(num_waves=waves)
    for seed in range(3):
        x, client = made(seed)
        rows = OfRows(x, client, layout)
        found = asked(federated.independence_test(layout, summed(x, client, layout)))
        expected = np.array([rows.log_p(*question) for question in QUESTIONS])
        if not waves:  # both sides of numbers are the same test
            twice = np.array([y < 4 for _, y, _ in QUESTIONS])
            twice &= np.array([(x, y) != (2, 2) for x, y, _ in QUESTIONS])
            sides = [asked_once(rows, *question) for question in QUESTIONS]
            expected = np.where(twice, sides, expected)
        # 1e-6 of the p-values, and of their logarithms.
        np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=0, atol=1e-6)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
        assert (found > np.log(0.05)).any()
        assert (found < np.log(0.001)).any()


def asked_once(rows, x, y, z):
    if y == len(rows.own):
        return 0.0
    ask = rows.pair_in_clients if len(rows.own) in z else rows.pair
    z = [k for k in z if k != len(rows.own)]
    return scipy.stats.chi2.logsf(*ask(x, y, z))


def test_parts_of_a_client_do_not_change_the_pooled_tests():
    """Pairs without the client: only the rows of all together matter."""
    x, client = made(0)
    questions = [q for q in QUESTIONS if 4 not in q[2] and q[1] < 4]
    other = np.random.default_rng(0).integers(0, 3, len(x))
    tests = [federated.independence_test(LAYOUT, summed(x, c)) for c in (client, other)]
    first, second = (asked(test, questions) for test in tests)
    np.testing.assert_allclose(first, second, rtol=1e-9)


def test_independent_variables_are_found_dependent_as_often_as_said():
    """Additive causes, curved; the rejected share of 300 tests a question."""
    rejected = np.zeros(6)
    layout = federated.Layout((0,) * 4, 2)
    questions = [(0, 1, ()), (2, 3, (0, 1)), (0, 1, (4,)), (2, 3, (0, 1, 4))]
    questions += [(0, 4, ()), (2, 4, (0, 1))]
    for seed in range(300):
        rng = np.random.default_rng(seed)
        u = rng.normal(size=(400, 2))
        v = np.sin(1.5 * u).sum(axis=1)[:, None] + rng.normal(size=(400, 2))
        x = np.column_stack([u, v / v.std(axis=0)])
        given = summed(x, np.repeat(np.arange(5), 80), layout)
        log_p = asked(federated.independence_test(layout, given), questions)
        rejected += log_p < np.log(0.05)
    assert (rejected / 300 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)).all(), rejected
    assert (rejected > 0).all()


def test_heavy_tails_are_no_change():
    layout, rejected = federated.Layout((0, 0), 0), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.laplace(size=(500, 2))
        given = summed(x, np.repeat(np.arange(5), 100), layout)
        log_p = asked(federated.independence_test(layout, given), [(0, 2, ())])
        rejected += log_p[0] < np.log(0.05)
    assert rejected / 200 < 0.12  # without the kurtosis it is .39


def clients_of(seed=0, clients=CLIENTS, rows=ROWS, **options):
    x, client = made(seed, clients, rows)
    table = pd.DataFrame(x, columns=["a", "b", "group", "c"])
    table["group"] = np.array(["low", "mid", "high"])[table["group"].astype(int)]
    return [
        FederatedClient(table[client == k], name=f"site {k}", **options)
        for k in range(clients)
    ]


def agreed(clients, server=None):
    server = FederatedCDNOD(num_waves=1, **SEARCH) if server is None else server
    return server, server.agree([client.summarise() for client in clients])


def sums_of(clients, agreement):
    return [client.statistics(agreement) for client in clients]


def test_the_order_of_clients_does_not_matter():
    clients = clients_of()
    server, agreement = agreed(clients)
    sums = sums_of(clients, agreement)
    server.fit(sums)
    again = FederatedCDNOD(num_waves=1, **SEARCH)
    _, other = agreed(clients[::-1], again)
    assert other.digest != agreement.digest or other == agreement
    again.fit(sums[::-1], agreement=agreement)
    pd.testing.assert_frame_equal(server.edges_, again.edges_)
    pd.testing.assert_frame_equal(server.p_values_, again.p_values_)
    pd.testing.assert_series_equal(server.changing_, again.changing_)


def test_clients_find_the_graph_and_what_changes():
    clients = clients_of(1, clients=6, rows=120)
    server, agreement = agreed(clients)
    server.fit(sums_of(clients, agreement))
    joined = server.adjacency_ + server.adjacency_.T
    expected = pd.DataFrame(0, index=joined.index, columns=joined.columns)
    for one, other in (("a", "b"), ("a", "group"), ("group", "c"), ("b", "c")):
        expected.loc[one, other] = expected.loc[other, one] = 1
    pd.testing.assert_frame_equal(joined, expected, check_dtype=False)
    assert server.changing_.to_dict() == {"a": 0, "b": 1, "group": 0, "c": 1}
    assert (server.change_p_values_[server.changing_] < 0.05).all()
    text = server.summary()
    assert "6 clients" in text
    assert "mechanism differs between clients" in text
    assert "a" in str(server.explain("a", "c"))
    assert set(server.sepsets_["a", "c"]) <= {"b", "group", CLIENT}
    assert server.info_["rows"] == 720
    assert [one["rows"] for one in server.info_["clients"]] == [120] * 6


def test_knowledge_is_obeyed():
    clients = clients_of()
    server, agreement = agreed(clients)
    known = {"required": [("c", "a")], "forbidden": [("a", "b"), ("b", "a")]}
    server.fit(sums_of(clients, agreement), knowledge=known)
    assert server.adjacency_.loc["c", "a"] == 1
    assert server.adjacency_.loc["a", "b"] + server.adjacency_.loc["b", "a"] == 0


def test_messages_and_models_are_files(tmp_path):
    clients = clients_of()
    server, agreement = agreed(clients)
    sums = sums_of(clients, agreement)
    summary = clients[0].summarise()
    for message in (summary, agreement, sums[0]):
        message.save(tmp_path / "message")
        again = type(message).load(tmp_path / "message")
        for field in dataclasses.fields(message):
            one, other = (getattr(m, field.name) for m in (message, again))
            assert type(one) is type(other)
            same = (
                np.array_equal(one, other)
                if isinstance(one, np.ndarray)
                else one == other
            )
            assert same, field.name
    agreement.save(tmp_path / "agreement")
    assert Agreement.load(tmp_path / "agreement").digest == agreement.digest
    model = server.fit(sums)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.edges_, model.edges_)
    pd.testing.assert_frame_equal(again.fit(sums).edges_, model.edges_)


def test_hostile_files_are_refused(tmp_path):
    clients = clients_of()
    _, agreement = agreed(clients)
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({"client": "x"}))
    with pytest.raises(ValueError, match="damaged"):
        ClientSums.load(path)
    sums = clients[0].statistics(agreement)
    sums.save(path)
    content = path.read_bytes()
    path.write_bytes(content[:-40] + b"\0" * 40)
    with pytest.raises(ValueError, match="damaged"):
        ClientSums.load(path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="holds a ClientSums, not an agreement"):
        Agreement.load(path)
    with pytest.raises(ValueError, match="cannot be read"):
        ClientSummary.load(tmp_path / "missing")

    state = {
        field.name: getattr(sums, field.name) for field in dataclasses.fields(sums)
    }
    hostile = {
        "of version 2": {"version": 2},
        "products": {"products": sums.products[1:]},
        "mean holds a number that is not finite": {"mean": np.nan * sums.mean},
        "products holds .* out of range": {"products": 1e99 + 0 * sums.products},
        "float64": {"fourth": list(sums.fourth)},
        "no rows": {"rows": -1},
        "texts": {"client": 3},
        "unexpected": {"more": 1},
    }
    for words, change in hostile.items():
        model_files.write_model(path, ClientSums, state | change, {})
        with pytest.raises(ValueError, match=words):
            ClientSums.load(path)
    given = {
        field.name: getattr(agreement, field.name)
        for field in dataclasses.fields(agreement)
    }
    for words, change in {
        "from 0 to 50, not 1000000": {"num_waves": 10**6},
        "no classes": {"levels": ((), (), ({},), ())},
        "scales holds": {"scales": 0 * agreement.scales},
    }.items():
        model_files.write_model(path, Agreement, given | change, {})
        with pytest.raises(ValueError, match=words):
            Agreement.load(path)
    del state["rows"]
    model_files.write_model(path, ClientSums, state, {})
    with pytest.raises(ValueError, match="rows"):
        ClientSums.load(path)


def test_mistakes_are_named():
    clients = clients_of()
    server, agreement = agreed(clients)
    sums = sums_of(clients, agreement)
    rng = np.random.default_rng(0)
    other = pd.DataFrame(rng.normal(size=(50, 3)), columns=["a", "b", "d"])
    stranger = FederatedClient(other, name="stranger")
    numbers = pd.DataFrame(rng.normal(size=(50, 4)), columns=["a", "b", "group", "c"])
    of_numbers = FederatedClient(numbers, name="numbers")
    with pytest.raises(
        ValueError, match=r"lacks the columns \['group', 'c'\].*\['d'\]"
    ):
        server.agree([clients[0].summarise(), stranger.summarise()])
    with pytest.raises(ValueError, match="'group' holds numbers at client 'numbers'"):
        server.agree([clients[0].summarise(), of_numbers.summarise()])
    with pytest.raises(ValueError, match=r"1 client\(s\)"):
        server.agree([clients[0].summarise()])
    with pytest.raises(ValueError, match="no part of the agreement"):
        stranger.statistics(agreement)
    with pytest.raises(ValueError, match="'site 0' is there 2 times"):
        server.fit([*sums, sums[0]])
    with pytest.raises(ValueError, match="'site 0' and 'twin' sent the same sums"):
        server.fit([*sums, dataclasses.replace(sums[0], client="twin")])
    with pytest.raises(ValueError, match=r"1 client\(s\)"):
        server.fit(sums[:1])
    with pytest.raises(ValueError, match="messages of the class ClientSums"):
        server.fit([client.summarise() for client in clients])
    with pytest.raises(ValueError, match="is of version 7"):
        server.fit([sums[0], dataclasses.replace(sums[1], version=7)])
    with pytest.raises(ValueError, match="takes an Agreement"):
        clients[0].statistics(sums[0])
    with pytest.raises(ValueError, match="lacks the agreement"):
        FederatedCDNOD().fit(sums)
    _, fewer = agreed(clients[:3], FederatedCDNOD(num_waves=1))
    with pytest.raises(ValueError, match=r"\['site 0'.*another agreement"):
        server.fit(sums, agreement=fewer)
    with pytest.raises(ValueError, match="num_waves must be"):
        FederatedCDNOD(num_waves=-1).agree([c.summarise() for c in clients])
    with pytest.raises(ValueError, match="noise must be"):
        FederatedClient(other, name="x", noise=-1)
    with pytest.raises(ValueError, match="name must be"):
        FederatedClient(other, name="")
    server.agree([client.summarise() for client in clients])
    with pytest.warns(UserWarning, match=r"\['site 3'\] .* sent no sums"):
        server.fit(sums[:3])
    assert any("sent no sums" in text for text in server.info_["warnings"])


def test_new_classes_ask_for_a_new_summary():
    clients = clients_of()
    _, agreement = agreed(clients)
    short = dataclasses.replace(
        agreement, levels=((), (), ("high", "low"), ()), columns=agreement.columns
    )
    with pytest.raises(ValueError, match="the class 'mid', which the agreement lacks"):
        clients[0].statistics(short)


def test_gaps_and_few_rows_are_named():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    table.loc[[3, 17], "a"] = np.nan
    with pytest.warns(UserWarning, match=r"2 of 40 rows have gaps.*: 3, 17 \(counted"):
        client = FederatedClient(table, name="north")
    assert client.summarise().rows == 38
    assert client.summarise().mean[1] == pytest.approx(table["b"].drop([3, 17]).mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table["a"] = [np.nan, 1] * 20
        table.loc[1::2, "b"] = np.nan
        with pytest.raises(ValueError, match="every row has a gap"):
            FederatedClient(table, name="north")
    few = pd.DataFrame(rng.normal(size=(12, 2)))
    with pytest.warns(UserWarning, match="'north' has 12 rows without gaps"):
        client = FederatedClient(few, name="north")
    south = FederatedClient(pd.DataFrame(rng.normal(size=(90, 2))), name="south")
    _, agreement = agreed([client, south], FederatedCDNOD(num_waves=3))
    with pytest.warns(UserWarning, match=r"sends 122 sums of 12 rows.* 24 cells"):
        client.statistics(agreement)
    ward = rng.permutation(["x"] * 25 + ["z"] * 14 + ["y"])
    classes = pd.DataFrame({"a": rng.normal(size=40), "ward": ward})
    with pytest.warns(UserWarning, match=r"'ward'.*single row, \['y'\]"):
        FederatedClient(classes, name="north")


def test_noise_has_the_size_that_is_said():
    layout = federated.Layout((0, 0, 0), 2)
    x = np.random.default_rng(0).normal(size=(80, 3))
    plain = federated.sums(layout, x)
    rng, shift = np.random.default_rng(1), []
    for _ in range(200):
        noisy = federated.add_noise(rng, plain, 3.0)
        assert noisy.count == plain.count
        np.testing.assert_array_equal(noisy.covariance, noisy.covariance.swapaxes(1, 2))
        parts = [80 * (noisy.mean - plain.mean), 80 * (noisy.covariance - plain[2])]
        shift.append(np.concatenate([part.ravel() for part in parts]))
    spread = np.std(shift, axis=0)
    np.testing.assert_allclose(spread, 3, rtol=0.25)
    assert (
        abs(np.corrcoef(np.transpose(shift)[:20])[np.triu_indices(20, 1)]).max() < 0.5
    )


def test_noise_is_the_same_for_the_same_call_and_no_other():
    quiet, noisy = clients_of(), clients_of(noise=2.0, random_state=5)
    server, agreement = agreed(noisy)
    once, twice = (noisy[0].statistics(agreement) for _ in range(2))
    np.testing.assert_array_equal(once.mean, twice.mean)
    other = clients_of(noise=2.0)[0].statistics(agreement)
    assert (other.mean != once.mean).all()
    assert (quiet[0].statistics(agreement).mean != once.mean).all()
    assert (noisy[0].summarise().mean != quiet[0].summarise().mean)[[0, 1, 3]].all()
    server.fit(sums_of(noisy, agreement))
    assert "noise" in server.summary()
    assert np.isfinite(server.change_p_values_).all()


def test_a_search_is_that_of_cdnod_on_all_rows():
    """The third phase sees the means and covariances that the clients have."""
    x, client = made(2)
    given = federated.variable_sums(LAYOUT, summed(x, client))
    rows, domain, weight = federated._rows(given)
    expected = cdnod.moments(
        x.astype(np.float32), client, np.ones(len(x), np.float32), 4
    )
    found = cdnod.moments(rows, domain, weight, 4)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    config = cdnod.Config(search=pc.Config(), num_permutations=99)
    test = federated.independence_test(LAYOUT, summed(x, client))
    one = federated.search(jax.random.key(0), LAYOUT, summed(x, client), config)
    other = cdnod.search(
        jax.random.key(0),
        test,
        x.astype(np.float32),
        client,
        config,
        batches=federated.BATCHES,
    )
    np.testing.assert_array_equal(
        marks.to_graph(one.marks), marks.to_graph(other.marks)
    )
    np.testing.assert_array_equal(one.changing, other.changing)
