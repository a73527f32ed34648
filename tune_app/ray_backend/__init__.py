"""Training on a Ray cluster: the implementation of `tune_app.sweep.backend.Backend` on Ray Tune's controller.

Holds: everything in a sweep that needs Ray: cluster, slots, controller, workers, ranks, prepared data.
Imports: everything before it, and Ray. `tests/ray_backend` covers each developer interface of Ray that it depends on.
Provides: `RayBackend`, `connected`, `measured_share`.
"""
