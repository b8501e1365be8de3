#!/usr/bin/env python3
"""pgbench -S (prepared) direct, through pgbouncer, and through Tallyport with both barriers durable: in one run.

    side_by_side.py [--seconds 10] [--rounds 3] [--clients 1,16,64,1000] [--json FILE]

All three face the same PostgreSQL. The ways take turns within every round, so that a drift of the machine hits all of
them; the table gives the median of the rounds and the ratios to the other ways. Nothing is asserted.
The binary is $TALLYPORT_BIN (a release build: see docs/benchmarks.md).
"""
import argparse
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEV = ROOT / "deploy" / "dev"


# The status by which the scripts there say that a registry could not be reached.
NOT_INSTALLABLE = 75


class NotInstallable(Exception):
    """What it names cannot be had on this machine."""


class Service:
    """A dev service by the contract of deploy/dev/lib.sh."""

    def __init__(self, name, *arguments):
        self.process = subprocess.Popen([str(DEV / name), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            if self.process.wait() == NOT_INSTALLABLE:
                raise NotInstallable(name)
            sys.exit(f"deploy/dev/{name} did not start (see above)")
        self.ready = json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def pgbench_program():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    return str(found[-1]) if found else "pgbench"


def pgbench(port, *arguments):
    out = subprocess.run([pgbench_program(), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", *arguments, "postgres"],
                         capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"pgbench failed: {out.stderr}")
    return out.stdout


def measure(port, clients, seconds):
    """(transactions per second, mean latency in milliseconds)"""
    out = pgbench(port, "-n", "-S", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds))
    return float(re.search(r"tps = ([\d.]+)", out)[1]), float(re.search(r"latency average = ([\d.]+)", out)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default="1,16,64,1000")
    parser.add_argument("--json")
    options = parser.parse_args()
    counts = [int(count) for count in options.clients.split(",")]
    # A thousand clients are a thousand files and more, for whoever is started from here.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    postgres = Service("postgres")
    port = postgres.ready["port"]
    services = [postgres]
    try:
        ways = {"direct": port}
        try:
            bouncer = Service("pgbouncer", "--server", f"127.0.0.1:{port}", "--database", "postgres")
            services.append(bouncer)
            ways["pgbouncer"] = bouncer.ready["port"]
        except NotInstallable:
            print("NOT RUN: pgbouncer as peer: it cannot be installed")
        stack = Service("tallyport", "dev", "--target-url", f"postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable",
                        "--policy", str(ROOT / "tests/fixtures/allow-all.cedar"), "--masking", str(ROOT / "tests/fixtures/no-masks.toml"))
        services.append(stack)
        forward = Service("tallyport", "connect", "sample", "--as", "ops-agent", "--ready-file", stack.ready["ready_file"])
        services.append(forward)
        subprocess.run(["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c",
                        "ALTER SYSTEM SET log_statement = 'none'", "-c", "SELECT pg_reload_conf()"], check=True, capture_output=True)
        pgbench(port, "-i", "-q", "-s", "10")
        ways["tallyport"] = forward.ready["port"]
        results = {count: {way: [] for way in ways} for count in counts}
        for way, at in ways.items():  # warm caches, connections, catalogs
            measure(at, 4, 2)
        for number in range(options.rounds):
            for count in counts:
                for way, at in ways.items():
                    results[count][way].append(measure(at, count, options.seconds))
                    tps, latency = results[count][way][-1]
                    print(f"round {number + 1}: {count:3} clients {way:10} {tps:9.0f} tps {latency:8.3f} ms", file=sys.stderr)
        report(results, options)
    finally:
        for service in reversed(services):
            service.stop()


def report(results, options):
    print("\npgbench -S -M prepared, medians of", options.rounds, "rounds of", options.seconds, "s")
    print(f"{'clients':>7} {'direct tps':>11} {'pgbouncer':>11} {'tallyport':>11} {'/direct':>8} {'/pgbouncer':>11} {'added ms':>9}")
    rows = []
    for count, ways in results.items():
        tps = {"pgbouncer": float("nan")} | {way: statistics.median(run[0] for run in runs) for way, runs in ways.items()}
        latency = {way: statistics.median(run[1] for run in runs) for way, runs in ways.items()}
        row = dict(clients=count, tps=tps, latency_ms=latency, to_direct=tps["tallyport"] / tps["direct"],
                   to_pgbouncer=tps["tallyport"] / tps["pgbouncer"], added_ms=latency["tallyport"] - latency["direct"])
        rows.append(row)
        print(f"{count:7} {tps['direct']:11.0f} {tps['pgbouncer']:11.0f} {tps['tallyport']:11.0f} {row['to_direct']:8.3f} "
              f"{row['to_pgbouncer']:11.3f} {row['added_ms']:9.3f}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
