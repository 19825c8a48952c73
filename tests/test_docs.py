"""All public names have numpydoc docstrings and are on the API page."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest
from numpydoc.validate import validate

import diffrep

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
PAGES += (ROOT / "docs/developer").glob("*.md")
API = re.findall(r"^::: (\S+)$", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
MODULES = [
    "diffrep",
    "diffrep.baselines",
    "diffrep.datasets",
    "diffrep.display",
    "diffrep.evaluation",
    "diffrep.semi_supervised",
    "diffrep.trajectory",
]

# No docstring, no summary, sections out of order; parameters that are not
# documented, that do not exist, or in another order; no Returns, no Yields.
FAULTS = {"GL06", "GL07", "GL08", "SS01", "PR01", "PR02", "PR03", "RT01", "YD01"}

# Refers to DiffusionRepresentation for the other parameters.
ELSEWHERE = re.compile(r"other\s+parameters.*?(described|are\s+those)", re.DOTALL)


def resolve(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def is_own(member):
    function = inspect.unwrap(getattr(member, "__func__", member))
    return inspect.isfunction(function) and function.__module__.startswith("diffrep")


def members():
    """Names of the functions, classes and methods on the API page."""
    for name in API:
        thing = resolve(name)
        if callable(thing):
            yield name
        if inspect.isclass(thing):
            for method, member in inspect.getmembers(thing, is_own):
                # Overrides are documented in the class that introduces the method.
                if not method.startswith("_") and member.__doc__:
                    yield f"{name}.{method}"


def documented(name):
    """Return the object and docstring of a name of `members`."""
    parts = name.split(".")
    try:
        thing = resolve(name)
    except ModuleNotFoundError:
        thing = getattr(resolve(".".join(parts[:-1])), parts[-1])
    return thing, inspect.getdoc(thing)


@pytest.mark.parametrize("module", MODULES)
def test_api_page_lists_all_public_names(module):
    names = importlib.import_module(module).__all__
    public = {f"{module}.{name}" for name in names if name != "__version__"}
    assert public <= set(API)


def test_api_page_lists_each_name_once():
    assert len(set(API)) == len(API)
    for name in API:
        resolve(name)


@pytest.mark.parametrize("name", sorted(members()))
def test_docstring_matches_the_signature(name):
    thing, text = documented(name)
    faults = dict(e for e in validate(name)["errors"] if e[0] in FAULTS)
    if inspect.isclass(thing) and issubclass(thing, Exception):
        faults.pop("PR01", None)  # constructed by diffrep only
    if "PR01" in faults and ELSEWHERE.search(text):
        missing = set(re.findall(r"'(\w+)'", faults.pop("PR01")))
        shared = inspect.signature(diffrep.DiffusionRepresentation).parameters
        assert missing <= set(shared) | {"reconstruction_loss"}
    assert not faults


@pytest.mark.parametrize("name", sorted(members()))
def test_arrays_have_shapes(name):
    _, text = documented(name)
    types = re.findall(r"^\w[\w, ]* : (.*)$", text, re.MULTILINE)
    arrays = [t for t in types if re.search(r"\b(array-like|ndarray|Tensor)\b", t)]
    for kind in arrays:
        assert "shape" in kind or " of str" in kind, kind


@pytest.mark.parametrize("name", sorted(members()))
def test_docstrings_list_value_errors(name):
    thing, text = documented(name)
    if inspect.isclass(thing):
        return  # constructors only store
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    raised = [
        node.exc.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    ]
    for error in raised:
        assert error in text.partition("Raises\n------\n")[2]


@pytest.mark.parametrize("name", API)
def test_methods_without_docstring_inherit_one(name):
    thing = resolve(name)
    for method, member in inspect.getmembers(thing, is_own):
        assert method.startswith("_") or inspect.getdoc(member), method


def test_code_on_pages_needs_no_scroll_bar():
    wide = [
        f"{page.name}: {line}"
        for page in PAGES
        for line in page.read_text().splitlines()
        if line.startswith((">>> ", "... ")) and len(line) > 75
    ]
    assert not wide


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_line_begins_with_a_number_that_would_start_a_list(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    last = 0
    for number in map(int, re.findall(r"^ *(\d+)[.)] ", text, re.M)):
        assert number in (1, last + 1)
        last = number
