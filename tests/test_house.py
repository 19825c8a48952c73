"""Structure of the package: order of imports, lazy modules, versions."""

import ast
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch

import diffrep

PACKAGE = Path(diffrep.__file__).parent

# Each module may only import from those above it.
ORDER = [
    ["exceptions", "_version", "testing"],
    [
        "core.device",
        "core.distributed",
        "core.sde",
        "core.closed_form",
        "core.optimizers",
        "core.samplers",
        "core.standardizer",
        "core.mutual_information",
    ],
    ["core.checkpoint", "core.layers"],
    ["core.banks", "core.readout"],
    ["core.kinds"],
    [
        "core.spaces",
        "core.time_sampling",
        "core.preconditioning",
        "core.encoders",
        "core.heads",
        "core.score_networks",
        "core.augment",
    ],
    ["core.objectives"],
    ["core.codes"],
    ["core.models", "core.rows"],
    ["core.loop", "core.baseline_models", "core.export"],
    ["core.training"],
    ["core.classifiers"],
    ["_checkpoints", "_validation", "_graph", "_model_file"],
    ["_parts", "evaluation._probing", "datasets", "selection"],
    [
        "base",
        "evaluation._comparison",
        "evaluation._inspection",
        "evaluation._trajectories",
    ],
    ["_base_classifier", "evaluation.__init__", "display._base"],
    [
        "display._accuracy",
        "display._codes",
        "display._lines",
        "display._trajectories",
    ],
    ["diffusion", "baselines", "trajectory", "display.__init__"],
    ["semi_supervised"],
    ["_load"],
    ["__init__"],
]
RANK = {f"diffrep.{name}": i for i, names in enumerate(ORDER) for name in names}
MODULES = {
    "diffrep." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
    if path.parent.name != "core" or path.name != "__init__.py"
}


# A package is imported by its name.
RANK |= {
    name.removesuffix(".__init__"): rank
    for name, rank in RANK.items()
    if name.count(".") > 1
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module
            if not node.module.startswith("diffrep"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_order_lists_all_modules():
    assert set(MODULES) == {f"diffrep.{name}" for names in ORDER for name in names}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_order(module):
    for name in imported(MODULES[module]):
        if name.startswith("diffrep"):
            assert RANK[name] < RANK[module], f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_core_does_not_import_scikit_learn(module):
    names = set(imported(MODULES[module]))
    if module.startswith("diffrep.core"):
        assert not any(name.startswith("sklearn") for name in names)
    if module != "diffrep._validation":
        private = [n for n in names if n.startswith("sklearn") and "._" in n]
        assert not private


def test_submodules_are_lazy_and_slow_imports_avoided(tmp_path):
    """Matplotlib, and torch's compiler, which its optimizers would import."""
    script = """if True:
        import sys
        import diffrep
        diffrep.evaluation.compare, diffrep.display
        X = [[i % 7, i % 5, i % 3] for i in range(60)]
        rep = diffrep.DiffusionRepresentation(2, max_epochs=2, device="cpu").fit(X)
        rep.save("rep.safetensors")
        diffrep.load("rep.safetensors").transform(X)
        print(sys.modules.keys() & {"matplotlib", "torch._dynamo"})
        """
    out = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert out.stdout.strip() == "set()"


def test_show_versions_prints_imported_versions(capsys):
    diffrep.show_versions()
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    modules = {"diffrep": diffrep, "torch": torch, "numpy": np, "scikit-learn": sklearn}
    for name, module in modules.items():
        assert lines[name] == module.__version__
    assert lines["Python"].startswith(platform.python_version())


def test_citation_has_the_current_version():
    citation = (PACKAGE.parent / "CITATION.cff").read_text()
    assert f"\nversion: {diffrep.__version__}\n" in citation


def test_every_public_name_exists():
    assert all(hasattr(diffrep, name) for name in diffrep.__all__)


def test_conda_recipe_has_the_requirements_of_the_wheel():
    root = PACKAGE.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    recipe = (root / "packaging/conda/meta.yaml").read_text()
    wanted = [f"python{project['requires-python']}", *project["dependencies"]]
    lines = [
        "    - " + entry.replace("torch", "pytorch").replace(">=", " >=")
        for entry in wanted
    ]
    assert "\n".join(["  run:", *lines]) in recipe
    assert f'version: "{diffrep.__version__}"' in recipe
