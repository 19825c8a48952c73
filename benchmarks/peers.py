"""Rows per second of training, compared with other packages.

    pip install pythae lightly umap-learn
    python benchmarks/peers.py

Trains an autoencoder, a variational autoencoder and simCLR on 28 x 28 images, with
networks of the default sizes of diffrep, in batches of 256 and on one thread. pythae
trains by its own pipeline; the first epoch is left out for both packages. lightly has
a loss but no training loop, so the loop is that of its documentation, with the views of
diffrep. The MLPRegressor of scikit-learn reconstructs 784 columns, with as many weights
as the autoencoder of tables. `fit` of umap-learn, and `transform` of the same number of
new rows, are compared with DiffusionRepresentation and its defaults. The packages take
turns, and the median of three rounds is printed.
"""

import argparse
import tempfile
import time
from functools import partial
from statistics import median

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from speed import BareLoop, EpochTimes, data, timed

from diffrep import DiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)

N_ROWS, N_EPOCHS = 5120, 3


def ours(estimator, X, image_shape, **options):
    """Return the seconds of an epoch, and the fitted estimator."""
    seconds = []
    rep = estimator(
        image_shape=image_shape,
        max_epochs=N_EPOCHS,
        callbacks=[EpochTimes(seconds)],
        random_state=0,
        **options,
    )
    return rep.fit(X), median(seconds)


def pythae_epoch(rep, X, variational):
    """Seconds of an epoch of pythae on networks like those of `rep`."""
    from pythae.models import AE, VAE, AEConfig, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    model = rep.net_.module_

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.network = model.encoder

        def forward(self, x):
            z = self.network(x)
            if not variational:
                return ModelOutput(embedding=z)
            mean, log_variance = z.chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.network = model.decoder

        def forward(self, z):
            return ModelOutput(reconstruction=self.network(z))

    class Times(TrainingCallback):
        def __init__(self):
            self.times = []

        def on_epoch_end(self, training_config, **kwargs):
            self.times.append(time.perf_counter())

    config = {"input_dim": model.data_shape, "latent_dim": rep.n_components}
    network = (
        VAE(VAEConfig(**config), Encoder(), Decoder())
        if variational
        else AE(AEConfig(**config), Encoder(), Decoder())
    )
    rows = rep.standardizer_.transform(X).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=N_EPOCHS,
            learning_rate=1e-3,
            per_device_train_batch_size=rep.batch_size,
            no_cuda=True,
        )
        times = Times()
        TrainingPipeline(model=network, training_config=training)(
            rows.reshape(-1, *model.data_shape), callbacks=[times]
        )
    return median(np.diff(times.times))


class LightlyLoop(BareLoop):
    """A loop around the loss of lightly."""

    def __init__(self, rep, X):
        from lightly.loss import NTXentLoss

        super().__init__(rep, X)
        self.loss = NTXentLoss(temperature=self.model.temperature)

    def train_step(self, x):
        model = self.model
        self.optimizer.zero_grad()
        first, second = (
            model.projection(model.encoder(model.augment(x, self.draws)))
            for _ in range(2)
        )
        loss = self.loss(first, second)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def lightly_epoch(rep, X):
    loop, seconds = LightlyLoop(rep, X), []
    for _ in range(N_EPOCHS):
        with timed(seconds):
            loop.epoch()
    return median(seconds[1:])


def rows_beside_pythae(estimator, variational, X, image_shape):
    plain = {"augment": None, "init": "random"}
    rep, seconds = ours(estimator, X, image_shape, **plain)
    return len(X) / seconds, len(X) / pythae_epoch(rep, X, variational)


def rows_beside_lightly(X, image_shape):
    rep, seconds = ours(SimCLRRepresentation, X, image_shape)
    return len(X) / seconds, len(X) / lightly_epoch(rep, X)


def rows_beside_mlp(X, image_shape):
    """Rows per second on a table, also of MLPRegressor with as many weights."""
    rep, seconds = ours(AutoencoderRepresentation, X, None, augment=None)
    rows = rep.standardizer_.transform(X).astype(np.float32)
    mlp = MLPRegressor(
        hidden_layer_sizes=(512, 128, 512), batch_size=rep.batch_size, random_state=0
    )
    theirs: list = []
    for _ in range(N_EPOCHS):
        with timed(theirs):
            mlp.partial_fit(rows, rows)
    n_weights = sum(weight.numel() for weight in rep.net_.module_.parameters())
    scale = sum(weight.size for weight in mlp.coefs_) / n_weights
    return len(X) / seconds, scale * len(X) / median(theirs[1:])


def speed_beside_umap(X, image_shape, method):
    """Rows per second of `fit`, or of `transform` of as many new rows."""
    from umap import UMAP

    rates = []
    for make in (
        DiffusionRepresentation(image_shape=image_shape, random_state=0),
        UMAP(n_jobs=1, random_state=0),
    ):
        seconds: list = []
        if method == "transform":
            make.fit(X)
        with timed(seconds):
            getattr(make, method)(X if method == "fit" else X[::-1] // 2 * 2)
        rates.append(len(X) / seconds[0])
    return tuple(rates)


PEERS = {
    "autoencoder": partial(rows_beside_pythae, AutoencoderRepresentation, False),
    "variational": partial(
        rows_beside_pythae, VariationalAutoencoderRepresentation, True
    ),
    "simCLR": rows_beside_lightly,
    "mlp": rows_beside_mlp,
    "umap, fit": partial(speed_beside_umap, method="fit"),
    "umap, transform": partial(speed_beside_umap, method="transform"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    X, image_shape = data("images", N_ROWS)
    for name in arguments.only:
        found = [PEERS[name](X, image_shape) for _ in range(arguments.rounds)]
        mine, theirs = np.median(found, axis=0)
        print(
            f"{name}: {mine:.0f} rows a second, peer {theirs:.0f}, "
            f"ratio {np.median([a / b for a, b in found]):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
