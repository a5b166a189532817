"""Use cases: the only room where API verbs meet engine and storage.

A service is a frozen dataclass of its collaborators. A class that holds state has a constructor instead. Services
compare by identity and print no fields: through its collaborators, one service reaches every object of the process.
"""
