"""RingOne: a scriptable PC virtual machine monitor whose parts are plugins."""

__version__ = "0.1.0"
