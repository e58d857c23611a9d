"""The folder in which machines live: their files, their registry, and the locks that keep processes out of each other's way."""

from ringone.home.home import Home, RegisteredMachine, new_settings
from ringone.home.locks import LockHolder, LockMode
from ringone.home.machinelock import MachineLock

__all__ = ["Home", "LockHolder", "LockMode", "MachineLock", "RegisteredMachine", "new_settings"]
