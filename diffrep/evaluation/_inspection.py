"""Content of codes: accuracy over time, silhouettes, information, samples."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd
from scipy.integrate import cumulative_trapezoid
from sklearn.metrics import silhouette_score

from diffrep._validation import Interval, validate_params
from diffrep.evaluation._probing import (
    check_has,
    check_labels,
    check_representations,
    codes_by_time,
    default_probes,
    integer_seed,
    probe_codes,
)

__all__ = [
    "class_silhouette",
    "information_profile",
    "probe_over_time",
    "sample_diversity",
]


@validate_params(
    {
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "probes": [None, dict],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def probe_over_time(
    representation,
    X,
    y,
    X_test,
    y_test,
    *,
    times=None,
    probes=None,
    n_labels="all",
    n_draws=1,
    random_state=0,
):
    """Compute the accuracy of probes on codes of each time, and of all times together.

    Parameters
    ----------
    representation : transformer
        Fitted. If its ``t_grid_`` is not None, codes depend on t and are computed by
        ``encode(X, times)``; otherwise it is static.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    X_test : array-like of shape (n_test, n_features)
    y_test : array-like of shape (n_test,)
    times : array-like of shape (T,), default=None
        Times in [0, 1]; None is ``np.linspace(0, 1, 11)``.
    probes : dict of str to classifier, default=None
        Cloned for each draw. None is "linear", the probe of
        `label_efficiency`; "mlp", which holds out a tenth of the labelled rows
        and so needs ten or more of each class; "svm"; "knn", of ten neighbours.
    n_labels : int or "all", default="all"
        Number of labelled rows.
    n_draws : int, default=1
        Number of draws of the labelled rows, as in `label_efficiency`.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws and of the default probes.

    Returns
    -------
    results : DataFrame
        Columns probe, t, stacked, draw, accuracy, with a row for each time and draw,
        and a row with t = nan and stacked = True for the codes of all times together. A
        static representation has rows with t = nan and stacked = False.

    Raises
    ------
    TypeError
        If the representation has no method `transform`.
    ValueError
        If lengths do not match, labels are missing or are not classes, there are no
        probes, a time is outside [0, 1] or the number of labels cannot be used.
    """
    y, y_test = check_labels(X, y), check_labels(X_test, y_test)
    seed = integer_seed(random_state)
    if probes is None:
        probes = default_probes(seed)
    if not probes:
        raise ValueError("probes is an empty dict. Pass at least one classifier.")
    codes, codes_test = (codes_by_time(representation, r, times) for r in (X, X_test))
    views = [
        (t, False, z, z_test)
        for (t, z), (_, z_test) in zip(codes, codes_test, strict=True)
    ]
    if getattr(representation, "t_grid_", None) is not None:
        stack, stack_test = (np.hstack([z for _, z in c]) for c in (codes, codes_test))
        views.append((np.nan, True, stack, stack_test))
    columns = ["probe", "t", "stacked", "draw", "accuracy"]
    frames = [
        probe_codes(
            codes, y, codes_test, y_test, n_labels, n_draws, probe, seed
        ).assign(probe=name, t=t, stacked=stacked)[columns]
        for name, probe in probes.items()
        for t, stacked, codes, codes_test in views
    ]
    return pd.concat(frames, ignore_index=True)


def class_silhouette(representations, X, y, *, times=None):
    """Compute how well codes separate the classes, by silhouettes.

    Parameters
    ----------
    representations : dict of str to transformer
        Fitted.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    times : array-like of shape (T,), default=None
        Times of codes that depend on t; None is ``np.linspace(0, 1, 11)``.

    Returns
    -------
    results : DataFrame
        Columns representation, t (nan if static), silhouette: the mean over
        rows, between -1 and 1; 0 for classes that overlap completely.

    Raises
    ------
    TypeError
        If `representations` is not a dict of transformers.
    ValueError
        If lengths do not match, or labels are missing or are not classes.

    References
    ----------
    Rousseeuw, "Silhouettes: a Graphical Aid to the Interpretation and
    Validation of Cluster Analysis", 1987.
    """
    check_representations(representations)
    y, rows = check_labels(X, y), []
    for name, representation in representations.items():
        for t, codes in codes_by_time(representation, X, times):
            rows.append((name, t, silhouette_score(codes, y)))
    return pd.DataFrame(rows, columns=["representation", "t", "silhouette"])


def information_profile(representation, X, *, times=None):
    """Compute the information, in nats, that codes add to noisy rows.

    The decrease of the loss by the code z at a noise level is the rate at which
    information about z is lost in noise,

        loss without z - loss with z = -d I(z; x_t) / d ln(sigma / alpha),

    with both losses as in `loss_over_time`. Its integral from the first time t0 is
    ``I(z; x_t0) - I(z; x_t)``, the information in z that is lost between t0 and t. At
    high noise it reaches the information of the code.

    The losses are those of a network and not the smallest possible ones, so the result
    is an estimate, neither an upper nor a lower bound.

    Parameters
    ----------
    representation : DiffusionRepresentation or VariationalDiffusionRepresentation
        Fitted with `code_dropout`, which is required for the loss without a code.
    X : array-like of shape (n_samples, n_features)
        Preferably rows that were not used in `fit`.
    times : array-like of shape (T,), default=None
        Times in [0, 1], closely spaced in ``ln(sigma / alpha)``. None uses the default
        of `loss_over_time`.

    Returns
    -------
    profile : DataFrame
        Columns t, sigma, loss_without_code, loss_with_code and nats, sorted by t.

    Raises
    ------
    TypeError
        If the estimator has no `loss_over_time`.
    ValueError
        If the representation has no null code.

    References
    ----------
    Guo, Shamai and Verdu, "Mutual Information and Minimum Mean-Square Error in
    Gaussian Channels", 2005.
    """
    check_has(representation, "loss_over_time")
    losses = representation.loss_over_time(X, times=times).sort_values("t")
    gain = losses["loss_without_code"] - losses["loss_with_code"]
    if gain.isna().any():
        raise ValueError(
            f"{type(representation).__name__} was fitted with code_dropout=0, so its "
            "loss without a code is not known. Fit it with code_dropout=0.1."
        )
    log_ratio = np.log(losses["sigma"] / losses["alpha"])
    nats = cumulative_trapezoid(gain, log_ratio, initial=0)
    columns = ["t", "sigma", "loss_without_code", "loss_with_code"]
    return losses[columns].assign(nats=nats).reset_index(drop=True)


@validate_params(
    {
        "n_draws": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def sample_diversity(representations, X, *, n_draws=10, random_state=0, **options):
    """Compute the variance of samples with the same code.

    Parameters
    ----------
    representations : dict of str to estimator
        Fitted, with a method ``sample``.
    X : array-like of shape (n_samples, n_features)
        Rows whose codes are sampled.
    n_draws : int, default=10
        Number of samples per code, at least 2.
    random_state : int, RandomState instance or None, default=0
    **options
        Arguments of ``sample``.

    Returns
    -------
    results : DataFrame
        Columns representation, n_columns of the code, and diversity: the variance of
        samples with the same code, averaged over codes and features, relative to that
        of the rows. It is 0 if the code determines the row and 1 if it says nothing.

    Raises
    ------
    TypeError
        If `representations` is not a dict of transformers.
    ValueError
        If all rows of `X` are equal.
    """
    check_representations(representations)
    seed, rows = integer_seed(random_state), []
    total = np.var(np.asarray(X, dtype=np.float64), axis=0).mean()
    if total == 0:
        raise ValueError(
            f"All rows of X are equal (there are {len(X)}). Pass rows that differ, "
            "since the diversity of samples is relative to theirs."
        )
    for name, representation in representations.items():
        check_has(representation, "sample")
        codes = representation.transform(X)
        samples = representation.sample(
            np.repeat(codes, n_draws, axis=0), random_state=seed, **options
        )
        samples = samples.reshape(len(codes), n_draws, -1).astype(np.float64)
        diversity = samples.var(axis=1, ddof=1).mean() / total
        rows.append((name, codes.shape[1], diversity))
    return pd.DataFrame(rows, columns=["representation", "n_columns", "diversity"])
