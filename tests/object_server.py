"""A server that speaks S3, on loopback, in a thread of this process: moto's."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "results"


@contextmanager
def object_server() -> Iterator[dict[str, str]]:
    """The environment with which AWS's and our ways find the server; it has the bucket `BUCKET`."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    backend = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def app(environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with one_at_a_time:  # moto looks at a condition and puts in two steps, S3 in one
            return list(backend(environment, start_response))

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    access = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    try:
        make_bucket(access)
        yield access
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def make_bucket(access: dict[str, str]) -> None:
    from pyarrow import fs

    filesystem = fs.S3FileSystem(
        access_key=access["AWS_ACCESS_KEY_ID"],
        secret_key=access["AWS_SECRET_ACCESS_KEY"],
        region=access["AWS_DEFAULT_REGION"],
        endpoint_override=access["AWS_ENDPOINT_URL"],
        allow_bucket_creation=True,
    )
    filesystem.create_dir(BUCKET)
