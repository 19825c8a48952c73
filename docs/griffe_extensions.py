"""How griffe reads the package for the pages of the API."""

import re
from pathlib import Path

import griffe

API = re.findall(r"^::: (\S+)$", (Path(__file__).parent / "api.md").read_text(), re.M)
FULL_NAMES = {name.rpartition(".")[2]: name for name in API}

#: ``:class:`diffrep.SDE` ``, and ``SDE : What it is.`` under "See Also".
ROLE = re.compile(r":\w+:`~?([\w.]+)`")
SEE_ALSO = re.compile(r"^( *)([\w.]+) : ", re.MULTILINE)


class Constants(griffe.Extension):
    """Drop parameters that a subclass made constants, by ClassVar, from signatures.

    The signatures are those that griffe's own extension makes of dataclasses.
    """

    def on_package(self, *, pkg, **kwargs):
        """Look through all classes of a package, after griffe's own extension."""
        for module in pkg.modules.values():
            self.on_package(pkg=module)
        for cls in pkg.classes.values():
            made = None if cls.is_alias else cls.members.get("__init__")
            for name, member in cls.members.items() if made else ():
                if member.labels == {"class-attribute"} and name in made.parameters:
                    del made.parameters[name]


class Links(griffe.Extension):
    """Let names of the API in docstrings lead to their pages."""

    def on_object(self, *, obj, **kwargs):
        """Rewrite the docstring of an object."""
        if obj.docstring is None:
            return
        text = ROLE.sub(lambda match: linked(match[1]), obj.docstring.value)
        head, title, rest = text.partition("See Also\n--------\n")
        rest = SEE_ALSO.sub(lambda match: f"{match[1]}- {linked(match[2])}: ", rest)
        obj.docstring.value = head + title + rest


def linked(name):
    """Link to the page of an object, if it has one."""
    full = FULL_NAMES.get(name.rpartition(".")[2])
    return f"[`{name}`][{full}]" if full else f"`{name}`"
