"""The sweep itself: preflight, the loop, recording, stopping. It reaches whatever trains through one protocol.

Holds: `run_sweep`, `preflight`, the recorder, the fuse, and the protocol `backend.Backend`.
Imports: everything before it. No Ray.
Provides: `run_sweep` and its `Outcome`.
"""
