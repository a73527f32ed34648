"""The developer interfaces of Ray that this package depends on, each with the test that breaks if it changes.

They are not part of Ray's public interface and may change in any release, so pyproject.toml allows one minor version,
and `make canary` tries the newest one.
"""

from __future__ import annotations

INTERFACES: dict[str, str] = {
    "ray.tune.execution.tune_controller.TuneController": "tests/ray_backend/test_sweep.py",
    "ray.train._internal.storage.StorageContext": "tests/ray_backend/test_payload.py",
    "ray.tune.schedulers.AsyncHyperBandScheduler": "tests/ray_backend/test_strategies.py",
    "ray.tune.schedulers.MedianStoppingRule": "tests/ray_backend/test_strategies.py",
    "ray.tune.search.optuna.OptunaSearch": "tests/search/test_study_search.py",
    "ray.tune.search.SearchGenerator": "tests/ray_backend/test_sweep.py",
    "ray.air.execution.resources.fixed.FixedResourceManager": "tests/ray_backend/test_sweep.py",
    "ray.air.execution.resources.placement_group.PlacementGroupResourceManager": "tests/ray_backend/test_devices.py",
    "ray.experimental.internal_kv.internal_kv_get_gcs_client": "tests/ray_backend/test_live.py",
    "ray.experimental.internal_kv._internal_kv_put": "tests/ray_backend/test_live.py",
    "ray.experimental.internal_kv._internal_kv_del": "tests/ray_backend/test_live.py",
    "ray.experimental.internal_kv._internal_kv_get": "tests/hosts/test_scaling.py",
    "ray._private.ray_constants.DEBUG_AUTOSCALING_STATUS": "tests/hosts/test_scaling.py",
    "ray.autoscaler.sdk.request_resources": "tests/hosts/test_scaling.py",
    "ray._private.services": "tests/ray_backend/test_cluster.py",
    "ray._private.ray_constants": "tests/ray_backend/test_cluster.py",
    "ray._private.worker.global_worker": "tests/ray_backend/test_terminations.py",
    "ray._private.utils": "tests/ray_backend/test_cluster.py",
    "ray._private.node": "tests/ray_backend/test_cluster.py",
    "ray._private.node.Node": "tests/ray_backend/test_cluster.py",
    "ray._private.parameter.RayParams": "tests/ray_backend/test_cluster.py",
    "ray._raylet.GcsClient": "tests/ray_backend/test_cluster.py",
    "ray._raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME": "tests/ray_backend/test_cluster.py",
    "ray._raylet.METRICS_AGENT_PORT_NAME": "tests/ray_backend/test_cluster.py",
    "ray._raylet.METRICS_EXPORT_PORT_NAME": "tests/ray_backend/test_cluster.py",
    "ray._raylet.RUNTIME_ENV_AGENT_PORT_NAME": "tests/ray_backend/test_cluster.py",
    "ray._raylet.persist_port": "tests/ray_backend/test_cluster.py",
    "ray._raylet.wait_for_persisted_port": "tests/ray_backend/test_terminations.py",
    "ray._private.runtime_env.packaging": "tests/jobs/test_job_folder.py",
}
