"""A real Slurm cluster in one disposable sandbox of this machine.

Outside: cluster.py (up, down, commands) on top of sandbox.py (namespaces) and packages.py (what must be
installed). Inside, as the sandbox's first process: keeper.py, which lays the network and starts the daemons.
"""
