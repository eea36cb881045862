"""The process that runs one query: it opens the published database, gives up its rights, and answers in Arrow.

It is started by `running` and nobody else. The request is a line of JSON on standard input, with parameters as an
Arrow stream behind it; the answer is an Arrow stream on standard output, and after a failure a line of JSON on standard
error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa

from availability_pipeline.sandbox.grammar import Refused, check

FAILURE_STATUS = 3
"""The exit status after a failure that standard error tells of."""

HEADROOM_MB = 256
"""What the libraries need beside the data of the query."""

_ROWS_AT_ONCE = 20_000

_RELATIONS = """
SELECT lower(table_name) FROM information_schema.tables WHERE table_catalog = 'published'
"""

_DUCKDBS = "SELECT lower(view_name) FROM duckdb_views() WHERE database_name <> 'published'"

_KINDS = {
    "Out of Memory Error": "memory",
    "Corrupt database file": "file",
    "IO Error": "file",
    "FATAL Error": "file",
    "Serialization Error": "file",
}
"""What an error is about, by the beginning of DuckDB's text; any other is about the query."""

Connection = duckdb.DuckDBPyConnection


def main() -> None:
    """Answer the request on standard input."""
    # Whatever a library prints, DuckDB's progress for example, must not end up in the answer.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        try:
            _answer(sys.stdin.buffer, answers)
        except BrokenPipeError:
            os._exit(0)  # nobody waits for the rest; an orderly end would try to write it
        except MemoryError:
            _fail("memory", "")
        except Refused as error:
            _fail("query", str(error))
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            # What goes wrong after the first rows comes as an error of Arrow's, with DuckDB's text.
            _fail(_kind(str(error)), _one_line(str(error)))


def _answer(requests: IO[bytes], answers: IO[bytes]) -> None:
    request = json.loads(requests.readline())
    values = pa.ipc.open_stream(requests).read_all().drop_columns([""]).to_pylist()
    connection = _open(request)
    relations, duckdbs = _names(connection, _RELATIONS), _names(connection, _DUCKDBS)
    _lock(connection)
    _give_up_rights(request)
    query = request["query"]
    [(parsed,)] = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
    check(parsed, relations, duckdbs)
    answer = connection.sql(query, params=_parameters(values, positional=request["positional"]))
    _send(answer.to_arrow_reader(_ROWS_AT_ONCE), request["max_rows"], answers)


def _names(connection: Connection, query: str) -> list[str]:
    return [name for (name,) in connection.execute(query).fetchall()]


def _parameters(rows: list[dict[str, Any]], *, positional: bool) -> Any:
    if not rows or not rows[0]:
        return None
    return list(rows[0].values()) if positional else rows[0]


def _open(request: dict[str, Any]) -> Connection:
    connection = duckdb.connect(
        config={
            "threads": request["threads"],
            "memory_limit": f"{request['memory_limit_mb']}MiB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # DuckDB takes this process for an interactive one
    connection.execute("ATTACH ? AS published (READ_ONLY, TYPE duckdb)", [request["path"]])
    connection.execute("USE published")
    return connection


def _lock(connection: Connection) -> None:
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _give_up_rights(request: dict[str, Any]) -> None:
    """Have the kernel refuse what DuckDB should not even try; nothing can take this back."""
    free = os.dup(0)
    os.close(free)
    data_bytes = _data_bytes()
    _limit(resource.RLIMIT_NOFILE, free)  # all below are taken, so no further file or socket
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    # DuckDB does not count the strings and lists of an expression as memory of its own.
    _limit(resource.RLIMIT_DATA, data_bytes + (request["memory_limit_mb"] + HEADROOM_MB) * 2**20)
    # For the case that nobody is left to end it in time.
    _limit(resource.RLIMIT_CPU, int(request["timeout_seconds"] * (request["threads"] + 1)) + 10)


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _data_bytes() -> int:
    """What this process has allocated already; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _send(answer: pa.RecordBatchReader, max_rows: int, answers: IO[bytes]) -> None:
    sent = 0
    with pa.ipc.new_stream(answers, answer.schema) as stream:
        for batch in answer:
            sent += batch.num_rows
            if sent > max_rows:
                raise Refused(
                    f"the answer has more than {max_rows:,} rows; add a LIMIT, or raise max_rows (--max-rows)"
                )
            stream.write_batch(batch)
            answers.flush()
    answers.flush()


def _kind(text: str) -> str:
    return _KINDS.get(text.split(":", 1)[0], "query")


def _one_line(text: str) -> str:
    """DuckDB's message without the picture of the query below it."""
    return " ".join(text.partition("\n\nLINE ")[0].split())


def _fail(kind: str, message: str) -> None:
    sys.stderr.write(json.dumps({"kind": kind, "message": message}) + "\n")
    sys.stderr.flush()
    # Without an orderly end: threads of DuckDB may be at work, and the pipe may be full.
    os._exit(FAILURE_STATUS)
