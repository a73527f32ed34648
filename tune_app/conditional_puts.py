"""Conditional puts to an object store, which only succeed if nobody else came first; uses obstore, because pyarrow has
none.

Bucket, credentials and server come from the same sources as in pyarrow: the address, the environment (``AWS_*``,
``GOOGLE_*``), the credentials file of the AWS profile, and the machine's role.
"""

from __future__ import annotations

import configparser
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ClientConfig, GCSConfig, GCSStore, RetryConfig, S3Config, S3Store
    from pyarrow import fs

# Records and locks are small: report an unresponsive server instead of waiting for it.
CLIENT: ClientConfig = {"allow_http": True, "timeout": "15s", "connect_timeout": "5s"}
RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


class ConditionalPuts:
    """Reads with versions and puts with conditions in one folder of a bucket.

    Raises (every method):
        OSError: the object store rejected the request or did not respond.
    """

    def __init__(self, store: S3Store | GCSStore) -> None:
        self._store = store

    def read(self, name: str) -> tuple[bytes | None, UpdateVersion | None]:
        """The object and its version; None and None if it does not exist."""
        import obstore

        try:
            found = obstore.get(self._store, name)
            return bytes(found.bytes()), _version(found.meta)
        except FileNotFoundError:
            return None, None
        except obstore.exceptions.BaseError as error:
            raise OSError(_first_line(error)) from error

    def put(self, name: str, content: bytes, version: UpdateVersion | None) -> UpdateVersion | None:
        """Put `content` if the object still has `version`, or does not exist for None.

        Returns:
            The new version; None if another put came first.
        """
        import obstore

        try:
            return _version(obstore.put(self._store, name, content, mode="create" if version is None else version))
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
            return None
        except obstore.exceptions.BaseError as error:
            raise OSError(_first_line(error)) from error


def open_puts(url: str, filesystem: fs.FileSystem, root: str) -> ConditionalPuts | None:
    """Conditional puts in `root`, ``bucket/folder``, which pyarrow opened from `url`; None if not S3 or GCS."""
    parts = urlsplit(url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    server = asked.get("endpoint_override")
    endpoint = f"{asked.get('scheme', 'https')}://{server}" if server else None
    bucket, _, prefix = root.partition("/")
    if parts.scheme == "s3":
        from obstore.store import S3Store

        config: S3Config = {"region": filesystem.region, **_s3_keys(parts.username, parts.password)}
        if endpoint:
            config["endpoint"] = endpoint
        s3 = S3Store(bucket, prefix=prefix or None, config=config, client_options=CLIENT, retry_config=RETRIES)
        return ConditionalPuts(s3)
    if parts.scheme in ("gs", "gcs"):
        from obstore.store import GCSStore

        where: GCSConfig = {"base_url": endpoint} if endpoint else {}
        if parts.username == "anonymous":
            where["skip_signature"] = True
        gcs = GCSStore(bucket, prefix=prefix or None, config=where, client_options=CLIENT, retry_config=RETRIES)
        return ConditionalPuts(gcs)
    return None


def _s3_keys(user: str | None, password: str | None) -> S3Config:
    """Credentials in the address or the profile's file; obstore finds those in the environment and of roles itself."""
    if user and password:
        return {"access_key_id": unquote(user), "secret_access_key": unquote(password)}
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    profiles = configparser.RawConfigParser()
    try:
        profiles.read(Path(file).expanduser())
        found = dict(profiles[os.environ.get("AWS_PROFILE", "default")])
    except (configparser.Error, KeyError, RuntimeError, UnicodeDecodeError):
        return {}
    keys: S3Config = {}
    if "aws_access_key_id" in found and "aws_secret_access_key" in found:
        keys["access_key_id"] = found["aws_access_key_id"]
        keys["secret_access_key"] = found["aws_secret_access_key"]
    if "aws_session_token" in found:
        keys["session_token"] = found["aws_session_token"]
    return keys


def _version(facts: Any) -> UpdateVersion:
    known: UpdateVersion = {}
    if facts["e_tag"] is not None:
        known["e_tag"] = facts["e_tag"]
    if facts["version"] is not None:
        known["version"] = facts["version"]
    return known


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].strip()
