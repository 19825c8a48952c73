"""The diffusion estimators: DRL and VDRL."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from types import MappingProxyType

import torch
from sklearn.utils.validation import check_is_fitted

from diffrep._base_diffusion import BaseDiffusion
from diffrep._validation import Interval, draw_seed, validate_params
from diffrep.core.device import Stream, generator
from diffrep.core.models import DiffusionModel, VariationalDiffusionModel
from diffrep.core.objectives import collapse_limit
from diffrep.exceptions import CodeCollapseWarning

__all__ = [
    "PAPER_SETTING",
    "DiffusionRepresentation",
    "VariationalDiffusionRepresentation",
]


PAPER_SETTING = MappingProxyType(
    {
        "time_conditioning": "full",
        "init": "random",
        "augment": None,
        "noise_space": "data",
        "loss_weighting": "eps",
        "time_sampling": "uniform",
    }
)
"""Parameters of Mittal et al. (2023): ``DiffusionRepresentation(**PAPER_SETTING)``.

t enters every block of the encoder, which starts at random and is shown no views;
noise is added to the data at uniform t and weighed by ``lambda = sigma^2``. Two
things stay as they are: `preconditioning`, since the plain network of the paper does
not train in minutes, and the sizes of the networks.
"""


class DiffusionRepresentation(BaseDiffusion):
    """Codes from denoising: diffusion based representation learning (DRL).

    An encoder and a score network are trained together to denoise

        x_t = alpha(t) x0 + sigma(t) eps,    eps ~ N(0, I),

    given the code ``z = E(x0)``, or ``z = E(x0, t)`` if `t_grid` is not None.
    The code learns what the noise washed out.

    Parameters
    ----------
    n_components : int, default=128
        Length of the code.
    t_grid : None, int or array-like of shape (T,), default=None
        Times at which `transform` reads codes, side by side; None reads them once,
        at t = 1. An int T means the times at which the noisy row x_t tells shares
        (T - 1)/T, ..., 1/T and 0 of the code, or with ``time_conditioning="full"``
        the (i - 1/2)/T quantiles of the training density of t.
    image_shape : tuple (channels, height, width), default=None
        Shape of the images that were flattened into the rows; None for tables.
    encoder : str or callable, default="auto"
        "mlp" is for any rows, "conv" and "wide_resnet" are for images; "auto"
        is "conv" for images and "mlp" for tables. "class" codes the label of a
        row instead of the row: conditional score matching, which needs y. A
        callable ``(data_shape, n_outputs, time_conditioned)``
        gives an ``nn.Module`` of your own with forward ``(x)``, or ``(x, t)``
        if time-conditioned; see the developer guide.
    init : {"closed_form", "random"}, default="closed_form"
        Start of the encoder. "closed_form" fits it to the data: the code holds
        the components of its first stage in which rows differ most and their
        views least, those of a PCA without views. The first stage of a table
        are its columns and random rectified features of a few columns each,
        that of images a bank of k-means filters, pooled, and random features
        of these. Training adds what else there is. An
        encoder of your own is fitted by its method ``initialize(rows)``, if it
        has one. "random" draws all weights.
    score_network : {"mlp", "unet"} or callable, default="mlp"
        "unet" is for images. A callable ``(data_shape, n_components)`` gives
        an ``nn.Module`` of your own with forward ``(x_t, t, z)``, for x_t of
        the shape of `noise_space`.
    noise_space : {"auto", "features", "pca", "data"}, default="auto"
        What noise is added to. "features": the 256 components of the first stage
        of an encoder in which rows differ most and their views least; they do not
        determine an image, so samples are smooth. "pca": the first
        128 principal components of the data, whitened halfway. "data": the
        data themselves. "auto" is "data" unless ``score_network="mlp"``; then
        it is "features" for images, "pca" for tables.
    time_conditioning : {"readout", "full"}, default="readout"
        How codes depend on t. "readout" trains one code of a row and reads it at
        each t through a linear map, fitted after training, that favours what the
        noise of that t washes out; 16 codes cost hardly more than one. "full"
        trains the encoder E(x0, t) of the paper: t enters every block, T codes
        cost T passes, and ``t_grid=None`` reads t = 1.
    sde : {"ve", "vp", "subvp"} or SDE, default="ve"
        Noise process, in units of the standardised data.
    preconditioning : {"edm", "none"}, default="edm"
        "edm" gives the score network inputs and targets of unit variance at
        every noise level; with "none" it is shown x_t and asked for the noise.
    loss_weighting : {"edm", "eps"}, default="edm"
        What an error costs at each noise level. "edm" weighs all levels alike
        for data of unit variance, see Karras et al. (2022); "eps" is the mean
        squared error of the noise, the paper's ``lambda = sigma^2``, by which
        a code is hardly worth anything at high noise. Whatever the
        preconditioning, times are drawn more often in place of larger weights,
        so penalties on codes that change with t are weighed along.
    time_sampling : str, float or object with ppf, default="log_normal"
        Density of the training times. It sets the level of detail that the
        code holds: the more noise, the coarser. "uniform" draws t uniformly,
        "high_noise" sigma / alpha, "log_normal" the logarithm of that from a
        normal density; a float trains at one time; an object, such as
        ``scipy.stats.beta(3, 1)``, is drawn from through its ``ppf``.
    augment : str, callable or None, default="auto"
        Random views: the encoder is shown a view of the row that is denoised.
        "image" shifts, turns and bends a little, "photo" crops, mirrors,
        recolours and blurs, "table" replaces features by those of other rows,
        "gaussian" adds noise of standard deviation 1; "auto" is "photo" for
        images of three channels, "image" for others, "table" for tables. A
        callable ``(x, generator)`` maps a batch ``(n, *data_shape)`` of
        standardised data to another. After training `transform` reads codes
        through a linear map that gives less weight to what views of one row
        change, and gives all columns one variance; None only rotates them to
        one variance, and with ``init="random"`` leaves them as trained.
    l1_weight : float, default=1e-3
        Weight of the mean absolute value of the code against the mean squared
        error of a coordinate.
    code_dropout : float, default=0.0
        Share of rows that are denoised with a learned null code instead of
        theirs, as guidance needs it; 1.0 is unconditional score matching.
    mixup : bool, default=False
        Whether the encoder is shown a random mixture of the row and another
        one; the larger the share of the row, the more its error counts.
    reconstruction_weight : float, default=0.0
        Weight of the mean squared error of a decoder of the code alone, which
        is trained besides the score network.
    max_epochs : int or "auto", default="auto"
        "auto" trains about 1,000 steps, at least 2 and at most 500 epochs. 0 trains
        nothing and gives the codes of the start in closed form; `sample`, `denoise`
        and `score` then have no score network.
    batch_size : int, default=128
        Largest number of rows in a training step.
    lr : float, default=2e-3
        Largest learning rate of AdamW; linear warm-up, then cosine decay.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer falls, and
        keep the best weights.
    validation_fraction : float, default=0.1
        Share of rows held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without improvement after which `early_stopping` stops.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of an earlier `fit`.
    callbacks : list of skorch callbacks, default=None
        Copied and passed on to skorch.
    checkpoint : str or path-like, default=None
        Folder, shared by any number of fits, to which `fit` writes a checkpoint
        every 5 s of training and at its end. `fit` called again with the same
        data and parameters goes on from there, and ends with the same weights,
        to the bit, as if nothing had happened. It needs `random_state`.
    device : str, default="auto"
        "auto" is the environment variable DIFFREP_DEVICE, else cuda, mps or
        cpu, the first there is.
    precision : {"float32", "bf16"}, default="float32"
        "bf16" runs the networks under torch's autocast.
    verbose : int, default=0
        1 shows progress bars in `fit` and `transform`.
    random_state : int, RandomState instance or None, default=None
        Seed of everything that is random. None draws a fresh seed; numpy's
        and torch's global generators are neither read nor changed.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` holds ``encoder`` and
        ``score_network``, their weights averaged over the training.
    history_ : DataFrame of shape (n_iter_, ...)
        Losses, learning rate and seconds of every epoch.
    n_iter_ : int
        Number of epochs trained.
    t_grid_ : ndarray of shape (T,) or None
        Times that `transform` reads.
    standardizer_ : object
        Standardisation of the rows: ``mean`` and ``scale`` of shape (n_features,), one
        value per channel on images, and the columns ``skewed`` of a table, which are
        bent first: ``asinh((x - center) / width)``. Standardised values beyond 10
        standard deviations are read as 10.
    classes_ : ndarray of shape (n_classes,)
        With ``encoder="class"``: the labels.
    class_codes_ : ndarray of shape (n_classes, T, n_components)
        With ``encoder="class"``: their codes, T = 1 for static ones.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if `fit` was given a data frame with text names.

    See Also
    --------
    VariationalDiffusionRepresentation : The same with a probabilistic code.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schoelkopf, Mehrjou, "Diffusion Based
    Representation Learning", ICML 2023, arXiv 2105.14257.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from diffrep import DiffusionRepresentation
    >>> X, _ = load_digits(return_X_y=True)
    >>> rep = DiffusionRepresentation(
    ...     n_components=8, image_shape=(1, 8, 8), max_epochs=2, random_state=0
    ... )
    >>> rep.fit(X).transform(X).shape
    (1797, 8)
    """

    _parameter_constraints: dict = {
        **BaseDiffusion._parameter_constraints,
        "l1_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components=128,
        *,
        t_grid=None,
        image_shape=None,
        encoder="auto",
        init="closed_form",
        score_network="mlp",
        noise_space="auto",
        time_conditioning="readout",
        sde="ve",
        preconditioning="edm",
        loss_weighting="edm",
        time_sampling="log_normal",
        augment="auto",
        l1_weight=1e-3,
        code_dropout=0.0,
        mixup=False,
        reconstruction_weight=0.0,
        max_epochs="auto",
        batch_size=128,
        lr=2e-3,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        callbacks=None,
        checkpoint=None,
        device="auto",
        precision="float32",
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            n_components,
            t_grid=t_grid,
            image_shape=image_shape,
            encoder=encoder,
            init=init,
            score_network=score_network,
            noise_space=noise_space,
            time_conditioning=time_conditioning,
            sde=sde,
            preconditioning=preconditioning,
            loss_weighting=loss_weighting,
            time_sampling=time_sampling,
            augment=augment,
            code_dropout=code_dropout,
            mixup=mixup,
            reconstruction_weight=reconstruction_weight,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            callbacks=callbacks,
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            verbose=verbose,
            random_state=random_state,
        )
        self.l1_weight = l1_weight

    def _model(self, data_shape):
        arguments = self._diffusion_arguments(data_shape)
        return DiffusionModel, {**arguments, "penalty_weight": self.l1_weight}


class VariationalDiffusionRepresentation(BaseDiffusion):
    """Codes from denoising with a probabilistic encoder (VDRL).

    As :class:`DiffusionRepresentation`, but the encoder gives mean and variance
    of ``z ~ N(mean, diag(variance))`` and ``KL(E(z | x0) || N(0, I))`` is the
    penalty. `transform` reads the mean.

    Parameters
    ----------
    kl_weight : float, default=0.003
        Weight of the KL as a fraction of the limit from which on no code pays
        its price, computed for white data of unit variance from `sde`,
        `loss_weighting` and `time_sampling`; see
        :func:`diffrep.core.objectives.collapse_limit`. The loss is
        ``mean squared error + kl_weight * limit * KL / d``, KL in nats and d
        the number of coordinates of `noise_space`. A warning is given from 1 on.

    See Also
    --------
    DiffusionRepresentation : The same with a deterministic code.

    Notes
    -----
    All other parameters, and the attributes after `fit`, are those of
    :class:`DiffusionRepresentation`. An encoder of your own is asked for
    ``2 * n_components`` outputs, the means first, then the logarithms of the
    variances.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schoelkopf, Mehrjou, "Diffusion Based
    Representation Learning", ICML 2023, arXiv 2105.14257.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep import VariationalDiffusionRepresentation
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = VariationalDiffusionRepresentation(
    ...     n_components=4, t_grid=[0.4, 0.6], max_epochs=2, random_state=0
    ... )
    >>> rep.fit_transform(X).shape
    (178, 8)
    """

    _parameter_constraints: dict = {
        **BaseDiffusion._parameter_constraints,
        "kl_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components=128,
        *,
        t_grid=None,
        image_shape=None,
        encoder="auto",
        init="closed_form",
        score_network="mlp",
        noise_space="auto",
        time_conditioning="readout",
        sde="ve",
        preconditioning="edm",
        loss_weighting="edm",
        time_sampling="log_normal",
        augment="auto",
        kl_weight=0.003,
        code_dropout=0.0,
        mixup=False,
        reconstruction_weight=0.0,
        max_epochs="auto",
        batch_size=128,
        lr=2e-3,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        callbacks=None,
        checkpoint=None,
        device="auto",
        precision="float32",
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            n_components,
            t_grid=t_grid,
            image_shape=image_shape,
            encoder=encoder,
            init=init,
            score_network=score_network,
            noise_space=noise_space,
            time_conditioning=time_conditioning,
            sde=sde,
            preconditioning=preconditioning,
            loss_weighting=loss_weighting,
            time_sampling=time_sampling,
            augment=augment,
            code_dropout=code_dropout,
            mixup=mixup,
            reconstruction_weight=reconstruction_weight,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            callbacks=callbacks,
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            verbose=verbose,
            random_state=random_state,
        )
        self.kl_weight = kl_weight

    def _model(self, data_shape):
        if self.kl_weight >= 1:
            warnings.warn(
                f"kl_weight={self.kl_weight} is at or above 1, the limit from which no "
                "code pays the price of its KL: expect a code that carries nothing. "
                "Use a smaller fraction, such as 0.003.",
                CodeCollapseWarning,
                stacklevel=2,
            )
        arguments = self._diffusion_arguments(data_shape)
        limit = collapse_limit(
            arguments["sde"],
            arguments["preconditioning"],
            self._times(),
            time_conditioned=self._is_time_conditioned(),
        )
        weight = self.kl_weight * limit
        return VariationalDiffusionModel, {**arguments, "penalty_weight": weight}

    @validate_params(
        {
            "n_samples": [Interval(Integral, 1, None, closed="left")],
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
    def sample_codes(self, n_samples=1, *, random_state=None):
        """Draw codes from the prior N(0, I), to sample rows without any at hand.

        Rows have such codes only as far as `kl_weight` made them: the smaller
        it is, the further the codes of rows are from the prior.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        codes : ndarray of shape (n_samples, n_columns)
            float32, as `transform` gives them; time-stacked ones are one draw,
            read at every time.
        """
        check_is_fitted(self)
        model = self.net_.module_
        draws = generator(draw_seed(random_state), Stream.SAMPLE)
        z = torch.randn(n_samples, 1, model.n_components, generator=draws)
        with torch.inference_mode():
            codes = model.readout(z.to(self.net_.device), self._tensor_times())
        return codes.flatten(1).cpu().numpy()
