"""Who trains on a Ray cluster: the implementation of `tune_app.sweep.backend.Backend` on Ray Tune's controller.

Holds: everything that Ray is needed for in a sweep: cluster, slots, controller, workers, ranks, prepared data.
Imports: everything before it, and Ray. `tests/ray_backend` names each developer interface of Ray that it stands on.
Hands out: `RayBackend`, `connected`, `measured_share`.
"""
