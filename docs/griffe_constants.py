"""API pages without the parameters that a subclass made constants, by ClassVar."""

import griffe


class Constants(griffe.Extension):
    """Drop them from the signatures that griffe makes of dataclasses."""

    def on_package(self, *, pkg, **kwargs):
        """Look through all classes of a package, after griffe's own extension."""
        for module in pkg.modules.values():
            self.on_package(pkg=module)
        for cls in pkg.classes.values():
            made = None if cls.is_alias else cls.members.get("__init__")
            for name, member in cls.members.items() if made else ():
                if member.labels == {"class-attribute"} and name in made.parameters:
                    del made.parameters[name]
