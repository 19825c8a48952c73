"""Evaluation of representations.

Functions take arrays and return tidy DataFrames. Any scikit-learn transformer can be
evaluated, except where samples or losses of a diffusion model are required.
"""

from diffrep.evaluation._comparison import (
    accuracy_over_splits,
    accuracy_table,
    compare,
    label_efficiency,
    paired_difference,
)
from diffrep.evaluation._inspection import (
    class_silhouette,
    information_profile,
    probe_over_time,
    sample_diversity,
)
from diffrep.evaluation._trajectories import (
    attention_masks,
    attention_profiles,
    code_information,
    code_similarity,
    jensen_shannon,
)

__all__ = [
    "accuracy_over_splits",
    "accuracy_table",
    "attention_masks",
    "attention_profiles",
    "class_silhouette",
    "code_information",
    "code_similarity",
    "compare",
    "information_profile",
    "jensen_shannon",
    "label_efficiency",
    "paired_difference",
    "probe_over_time",
    "sample_diversity",
]
