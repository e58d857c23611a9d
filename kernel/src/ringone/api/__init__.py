"""The contracts between the kernel and its plugins: the only RingOne modules that a plugin imports.

One file a kind. Behaviour is a Protocol, data is frozen attrs. `API_VERSION` rises when a contract changes in a way that an existing plugin must follow.
"""

API_VERSION = 1
