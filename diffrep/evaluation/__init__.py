"""What a representation is worth, and what it holds.

Arrays in, tidy DataFrames out. Any scikit-learn transformer is a representation,
except where samples or losses of a diffusion model are asked for.
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
    code_similarity,
    information_profile,
    probe_over_time,
    sample_diversity,
)

__all__ = [
    "accuracy_over_splits",
    "accuracy_table",
    "class_silhouette",
    "code_similarity",
    "compare",
    "information_profile",
    "label_efficiency",
    "paired_difference",
    "probe_over_time",
    "sample_diversity",
]
