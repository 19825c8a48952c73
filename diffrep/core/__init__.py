"""The torch code of diffrep, which does not depend on scikit-learn.

"Code layout" in the developer guide describes the modules.
"""
