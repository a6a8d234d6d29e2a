"""How properties are tried: the whole suite computes beside servers (`tests/__main__.py`), so that how
long one example takes says nothing."""

from hypothesis import settings

settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")
