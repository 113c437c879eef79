"""Run all, or those named: `python -m benchmarks [--quick] [--json FILE] [--plot FILE] [NAME ...]`."""

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
MODULES = {
    "sends": "sends",
    "bulk": "bulk",
    "burst": "burst",
    "heartbeat": "heartbeat",
    "growth": "growth",
    "imports": "imports",
    "decoding": "decoding",
    "polling": "following",
}
_NEEDED = ("aiohttp", "pydantic", "sms_devino", "sqlalchemy")
_PACKAGES = (
    "smsapi-async",
    "httpx",
    "httpcore",
    "aiohttp",
    "uvloop",
    "sw-python-sms-devino",
    "requests",
    "pydantic",
    "sqlalchemy",
)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="On loopback only.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODULES)}; without any, all")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every round, the medians and the machine")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a PNG")
    options = parser.parse_args()
    if unknown := set(options.names) - set(MODULES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    for file in filter(None, (options.json, options.plot)):
        if not file.resolve().parent.is_dir():
            parser.error(f"no such directory: {file.parent}")
    return options


def _loaded(names: list[str], *, with_plot: bool) -> dict[str, Benchmark]:
    needed = (*_NEEDED, "matplotlib") if with_plot else _NEEDED
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}: pip install 'smsapi-async[benchmarks]'")
    return {name: import_module(f"benchmarks.{MODULES[name]}").run for name in names}


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
    """Print the tables, and write what was asked for."""
    options = _options()
    benchmarks = _loaded(options.names or list(MODULES), with_plot=options.plot is not None)
    machine, versions = _machine(), _versions()
    print(_line(machine), _line(versions), sep="\n")
    gc.freeze()  # what the libraries keep for good is nobody's garbage
    began = perf_counter()
    tables: list[Table] = []
    with server.running() as url:
        for benchmark in benchmarks.values():
            for table in benchmark(url, QUICK if options.quick else Options()):
                table.show()
                tables.append(table)
    missed = [goal for table in tables for goal in table.goals if not goal.is_met]
    print(f"\n{perf_counter() - began:.0f} s in all; {len(missed)} goals missed", *missed, sep="\n  ")
    if options.json:
        figures = {
            "machine": machine,
            "versions": versions,
            "quick": options.quick,
            "tables": [table.plain() for table in tables],
        }
        options.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    if options.plot:
        from benchmarks import plot  # noqa: PLC0415 - not while something is measured

        plot.draw(tables, options.plot)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
