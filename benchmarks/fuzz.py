"""What broken requests and broken search space files lead to: an answer or an error message, if all is well.

Requests: those in the server's OpenAPI document, each with some mistakes: other methods, paths, queries, headers,
values, and truncated or changed bodies. Each must get an answer, and none a 5xx. Files: the search spaces of this
repository, each with some mistakes in its lines. Reading one either works or ends in one of our errors, with a rule and
a hint.

    python benchmarks/fuzz.py [--requests 10000] [--files 1000] [--seed 0]

Prints one JSON line for each that is wrong, and a summary; ends with 1 if anything is.
"""

from __future__ import annotations

import argparse
import copy
import http.client
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from api import ROOT, served

from tune_app.errors import TuneAppError
from tune_app.tasks.spec_file import load_spec

NASTY: tuple[Any, ...] = (
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "é" * 300,
        "../../etc/passwd",
        "a" * 5_000,
        "nan",
        "-1",
        "1e999",
        "true",
        "null",
        "[]",
    ),
    *(None, True, -1, 0, 2**63, 10**400, 1e308, float("inf"), float("nan"), [], {}, [[]], {"": {}}, [None] * 50),
)
"""Values that programs often forget about."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "FOO")
BODIES: tuple[dict[str, Any], ...] = (
    # No trial ever runs: zero trials is one of the mistakes.
    {"kind": "sweep", "search_space": "digits_cnn", "overrides": {"trials": 0, "set": {"data.noise": 0.1}}},
    {"kind": "training", "profile": "digits-baseline", "epochs": 0},
    {"note": "n", "set": {"training.learning_rate": 0.1}},
)
TIMEOUT_S = 20.0


def main() -> None:
    """Send the requests, read the files, and report what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, counts = random.Random(given.seed), Counter[str]()
    for fault in (*bad_files(given.files, chance, counts), *bad_requests(given.requests, chance, counts)):
        counts["wrong"] += 1
        print(json.dumps(fault), flush=True)
    print(json.dumps({"summary": dict(sorted(counts.items()))}))
    sys.exit(1 if counts["wrong"] else 0)


def bad_files(count: int, chance: random.Random, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """Read `count` search spaces with mistakes; yields those that raise an error that is not ours."""
    sources = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "search_spaces").glob("*.yaml"))]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "space.yaml"
        for number in range(count):
            text = with_mistakes(chance.choice(sources), chance)
            path.write_bytes(text.encode(errors="surrogatepass"))
            try:
                load_spec(path)
                counts["files read"] += 1
            except TuneAppError as error:
                counts["files refused" if error.message else "files refused without a word"] += 1
            except Exception as error:  # must not happen
                yield {"file": number, "error": f"{type(error).__name__}: {error}"[:300], "text": text[:2_000]}


def with_mistakes(text: str, chance: random.Random) -> str:
    """`text` with one to four mistakes."""
    for _ in range(chance.randint(1, 4)):
        lines = text.split("\n")
        place = chance.randrange(len(lines))
        key, colon, _ = lines[place].partition(":")
        nasty = chance.choice(NASTY)
        match chance.randrange(7):
            case 0:
                del lines[place]
            case 1:
                lines.insert(place, chance.choice(lines))
            case 2:
                lines[place] = f"{key}{colon} {nasty if isinstance(nasty, str) else json.dumps(nasty)}"
            case 3:
                lines[place] = " " * chance.randrange(9) + lines[place].strip()
            case 4:
                lines[place] = f"{nasty}{lines[place]}" if isinstance(nasty, str) else lines[place] * 2
            case 5:
                position = chance.randrange(len(lines[place]) + 1)
                extra = chance.choice("\t:{}[],&*!|>'\"%@`#-?\x07é")
                lines[place] = lines[place][:position] + extra + lines[place][position + chance.randrange(2) :]
            case _:
                other = chance.randrange(len(lines))
                lines[place], lines[other] = lines[other], lines[place]
        text = "\n".join(lines)
    return text


def bad_requests(count: int, chance: random.Random, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """Send `count` requests with mistakes; yields those that got a 5xx or no answer."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, served(Path(folder)) as port:
        document = _get(port, "/openapi.json")
        known = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
        for number in range(count):
            method, path, headers, body = request_with_mistakes(known, chance)
            asked = {"request": number, "asked": f"{method} {path}"[:300], "body": repr(body)[:500]}
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
            try:
                connection.putrequest(method, path, skip_accept_encoding=True)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                status = connection.getresponse().status
                counts[f"status {status}"] += 1
                if status >= 500:
                    yield {**asked, "status": status}
            except (OSError, http.client.HTTPException) as error:
                yield {**asked, "error": f"{type(error).__name__}: {error}"[:300]}
            finally:
                connection.close()
        _get(port, "/health")
        _end_jobs(Path(folder) / "results")


def request_with_mistakes(
    known: list[tuple[str, str]], chance: random.Random
) -> tuple[str, str, dict[str, bytes], bytes]:
    """Method, path, headers and body of a request."""
    method, path = chance.choice(known)
    while "{" in path:
        before, _, rest = path.partition("{")
        value = chance.choice(("ended-1", "mine", "0", str(chance.choice(NASTY)), "%", "..", "a/b"))
        path = before + quote(value, safe="", errors="surrogatepass") + rest.partition("}")[2]
    if chance.random() < 0.4:
        names = ("limit", "start", "after", "sort", "state", "tail", "x", "")
        pairs = [f"{chance.choice(names)}={quote(str(chance.choice(NASTY)), errors='surrogatepass')}" for _ in range(3)]
        path += "?" + "&".join(pairs)
    if chance.random() < 0.1:
        method = chance.choice(METHODS)
    headers: dict[str, bytes] = {"Content-Type": b"application/json"}
    if chance.random() < 0.3:
        name = chance.choice(("Content-Type", "Range", "If-None-Match", "If-Match", "Accept", "Origin", "Expect", "X"))
        value = str(chance.choice((*NASTY, "bytes=9-1", "bytes=-", "text/plain", "100-continue", "*")))
        headers[name] = "".join(c for c in value[:2_000] if c.isprintable()).encode(errors="replace")
    return method, path, headers, _body(method, chance)


def _body(method: str, chance: random.Random) -> bytes:
    if method in ("GET", "HEAD") and chance.random() < 0.9:
        return b""
    document: Any = json.loads(json.dumps(chance.choice(BODIES)))
    for _ in range(chance.randint(0, 3)):
        place = document
        while isinstance(place, dict) and place:
            key = chance.choice(list(place))
            if isinstance(place[key], dict) and place[key] and chance.random() < 0.5:
                place = place[key]
                continue
            place[key if chance.random() < 0.8 else str(chance.choice(NASTY))] = copy.deepcopy(chance.choice(NASTY))
            break
    if isinstance(document.get("overrides"), dict):
        document["overrides"]["trials"] = 0  # see BODIES
    text = json.dumps(document).encode()
    return text[: chance.randrange(len(text))] if chance.random() < 0.15 else text


def _get(port: int, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    connection.request("GET", path)
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    return found


def _end_jobs(store: Path) -> None:
    """Remove the jobs that a request started after all."""
    command = [sys.executable, "-m", "tune_app", "jobs", "purge", "--store", str(store)]
    subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
