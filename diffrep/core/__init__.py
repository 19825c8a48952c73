"""The torch inside of diffrep; no scikit-learn here.

What each module is for is listed in the developer guide, under "Code layout".
"""
