"""scalegroup: networks that are provably scale-equivariant (the paper says scale-covariant; it is the same).

Gaussian derivative networks after T. Lindeberg, "Scale-covariant and scale-invariant Gaussian derivative networks".
Equation numbers in docstrings are that paper's.
"""

import lazy_loader

__version__ = "0.2.0"

# listed in __init__.pyi; torch takes seconds to import, and `python -m scalegroup --help` needs none of it
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
