"""The sweep itself: preflight, the loop, what is recorded, when it ends. It knows who trains by one protocol.

Holds: `run_sweep`, `preflight`, the recorder, the fuse, and the protocol `backend.Backend`.
Imports: everything before it. No Ray.
Hands out: `run_sweep` and its `Outcome`.
"""
