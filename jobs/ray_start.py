"""Starting a local Ray, as small as it can be, or joining the cluster at RAY_ADDRESS."""

import os
from collections.abc import Mapping
from typing import Any

import ray

OBJECT_STORE_BYTES = 80 * 2**20
"""Ray's smallest shared memory: nothing large passes through it."""

# Ray's telemetry has crashed workers while they load models.
WORKER_ENVIRONMENT = {"OTEL_SDK_DISABLED": "true"}

ATTEMPTS = 4
"""A local Ray gives itself 30 seconds to start, which a busy machine may not grant it."""


def start_ray(
    environment: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None
) -> None:
    """Start a local Ray or join a cluster; workers get `environment` too, a local Ray `settings`.

    ValueError where a local Ray does not come up.
    """
    options: dict[str, Any] = {
        "runtime_env": {"env_vars": WORKER_ENVIRONMENT | dict(environment or {})},
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Of the steps of its start this one alone can be told to take longer than 30 seconds.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "120")
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**options)
        return
    options |= {
        # Without a word Ray would join whatever cluster was last started on this machine.
        "address": "local",
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    if settings:
        options["_system_config"] = dict(settings)
    _start_local(options)


def _start_local(options: Mapping[str, Any]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            ray.init(**options)
        except Exception as error:
            ray.shutdown()
            if "timed out" not in str(error).lower():
                raise
            if attempt == ATTEMPTS:
                raise ValueError(
                    f"a local Ray did not come up in {ATTEMPTS} attempts ({error}); give the "
                    "machine less to do, or use --engine inline"
                ) from error
        else:
            return
