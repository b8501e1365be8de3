#!/usr/bin/env python3
"""Twelve audit questions over what the recorder wrote: the query service beside DuckDB and chDB on the same files.

    audit_questions.py [--events 10000000] [--rounds 5] [--compact] [--log kafka|embedded] [--only who-read,slow] [--json FILE] [--keep DIR]

Runs `cargo bench -p tallyport-lake-benches -- --serve` first, which fills the log, records it and prints its own figures
(LAKE_BENCH is another way to start it); --compact rewrites the files first as `tallyport lake compact` does. All three read the same Parquet files; the query service also checks a
token, asks policy and puts every question on record. Cold: the page cache was dropped (root) before the question; the
processes stay, as a service does. Warm: the median of the rounds. The answers must have equally many rows.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent


def questions(sample):
    """(name, SQL of the query service, changes for DuckDB, changes for chDB)"""
    has = ("array_has(", "list_contains(", "has(")
    lists = ("unnest(", "unnest(", "arrayJoin(")
    both = lambda sql, *words: [sql] + [_replaced(sql, words, n) for n in (1, 2)]
    return {
        "one-event": both(f"SELECT time, family, activity, principal_subject, statement FROM events WHERE event_id = '{sample['event']}'"),
        "session-timeline": both(f"SELECT session_seq, time, family, activity, statement, rows FROM events WHERE session_id = '{sample['session']}' ORDER BY session_seq"),
        "principal-activity": both(f"SELECT time, family, activity, outcome, target, statement, rows FROM events WHERE principal_subject = '{sample['principal']}' ORDER BY time, log_partition, log_offset LIMIT 1000"),
        "who-read-column": both("SELECT principal_subject, actor, on_behalf_of, count(*) AS reads, min(time) AS first, max(time) AS last FROM events WHERE family = 'response' AND activity = 'completed' AND array_has(columns, 'app.employees.ssn') GROUP BY principal_subject, actor, on_behalf_of ORDER BY reads DESC, principal_subject, actor", has),
        "denied": both("SELECT reason, principal_subject, count(*) AS denials FROM events WHERE family = 'decision' AND outcome = 'deny' GROUP BY reason, principal_subject ORDER BY denials DESC, reason, principal_subject LIMIT 100"),
        "volume-by-table": both("SELECT t, count(*) AS answers, sum(rows) AS all_rows, sum(bytes) AS all_bytes FROM (SELECT unnest(tables) AS t, rows, bytes FROM events WHERE family = 'response' AND activity = 'completed') GROUP BY t ORDER BY all_bytes DESC, t", lists),
        "top-talkers": both("SELECT principal_subject, count(*) AS events, sum(bytes) AS all_bytes FROM events GROUP BY principal_subject ORDER BY events DESC, principal_subject LIMIT 20"),
        "slow-statements": both("SELECT r.time, r.duration_us, r.principal_subject, c.statement FROM (SELECT time, duration_us, principal_subject, command_id FROM events WHERE family = 'response' AND duration_us > 240000) r JOIN (SELECT command_id, statement FROM events WHERE family = 'command') c ON c.command_id = r.command_id ORDER BY r.duration_us DESC, r.command_id LIMIT 100"),
        "first-use": both("SELECT principal_subject, target, t, min(time) AS first_used, count(*) AS uses FROM (SELECT principal_subject, target, unnest(tables) AS t, time FROM events WHERE family = 'command') GROUP BY principal_subject, target, t ORDER BY first_used DESC, principal_subject, t LIMIT 100", lists),
        "abnormal-sessions": both("SELECT session_id, max(principal_subject) AS who, max(target) AS target_name, max(failure) AS cause FROM events WHERE family = 'session' GROUP BY session_id HAVING max(CASE WHEN activity = 'lost' THEN 1 ELSE 0 END) = 1 ORDER BY session_id LIMIT 1000"),
        "gaps": both("SELECT producer_id, producer_epoch, count(*) AS events, max(producer_seq) + 1 - count(DISTINCT producer_seq) AS missing FROM events WHERE producer_id LIKE 'gateway-%' GROUP BY producer_id, producer_epoch ORDER BY producer_id"),
        "off-hours": both("SELECT principal_subject, target, count(*) AS commands FROM events WHERE family = 'command' AND (date_part('hour', time) < 7 OR date_part('hour', time) >= 19) GROUP BY principal_subject, target ORDER BY commands DESC, principal_subject, target LIMIT 100", ("date_part('hour', time)", "date_part('hour', time)", "toHour(time)")),
    }


def _replaced(sql, words, number):
    for word in words:
        sql = sql.replace(word[0], word[number])
    return sql


class Tallyport:
    name = "Tallyport"

    def __init__(self, told):
        self.told = told

    def rows(self, sql):
        request = urllib.request.Request(self.told["sql"], data=json.dumps({"sql": sql}).encode(), headers={
            "Authorization": "Bearer " + self.told["token"], "Content-Type": "application/json"})
        try:
            answer = json.load(urllib.request.urlopen(request))
        except urllib.error.HTTPError as error:
            sys.exit(f"{sql}: {error.read().decode()}")
        if "error" in answer:
            sys.exit(f"{sql}: {answer['error']}")
        return answer["rows"]


class DuckDb:
    name = "DuckDB"

    def __init__(self, files):
        import duckdb
        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {os.cpu_count()}; SET TimeZone = 'UTC'")
        # The query service pins a snapshot too: the list of files is known, their footers are read once.
        self.connection.execute("SET enable_object_cache = true")
        listed = ", ".join(f"'{file}'" for file in files)
        self.connection.execute(f"CREATE VIEW events AS SELECT * FROM read_parquet([{listed}], hive_partitioning = true)")

    def rows(self, sql):
        return self.connection.execute(sql).fetchall()


class ChDb:
    name = "chDB"

    def __init__(self, files):
        from chdb import session
        self.session = session.Session()
        listed = ",".join(str(pathlib.Path(file).relative_to(pathlib.Path(file).parent.parent)) for file in files)
        folder = pathlib.Path(files[0]).parent.parent
        self.session.query(f"CREATE VIEW events AS SELECT * FROM file('{folder}/{{{listed}}}', Parquet)")

    def rows(self, sql):
        return [line for line in str(self.session.query(sql, "JSONCompactEachRow")).splitlines() if line]


def drop_caches():
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        return True
    except OSError:
        return False


def timed(engine, sql):
    begun = time.perf_counter()
    rows = engine.rows(sql)
    return time.perf_counter() - begun, len(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compact", action="store_true")
    parser.add_argument("--log", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--keep", help="leave log and lake in this directory, or ask those that an earlier run left there (with --log embedded)")
    options = parser.parse_args()
    missing = [name for name in ("duckdb", "chdb") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} from PyPI must be installed for this Python; deploy/dev/bench does that")
    bench = shlex.split(os.environ.get("LAKE_BENCH", "cargo bench --locked -p tallyport-lake-benches --"))
    service = subprocess.Popen([*bench, "--serve", "--events", str(options.events), "--log", options.log, *(["--compact"] if options.compact else []),
                                *(["--keep", options.keep] if options.keep else [])],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        for line in service.stdout:
            if line.startswith("{"):
                compare(json.loads(line), options)
                break
            print(line, end="")
        else:
            # It said why: Kafka cannot be had here, or an error.
            sys.exit(service.wait())
    finally:
        service.stdin.close()
        service.wait()


def live(table):
    """The files of the newest version: those that a compaction replaced are still there."""
    files = {}
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for action in map(json.loads, commit.read_text().splitlines()):
            for kind in ("add", "remove"):
                if kind in action:
                    files[urllib.parse.unquote(action[kind]["path"])] = kind == "add"
    return sorted(str(table / path) for path, there in files.items() if there)


def compare(told, options):
    files = live(pathlib.Path(told["events"]))
    size = sum(os.path.getsize(file) for file in files)
    engines = [Tallyport(told), DuckDb(files), ChDb(files)]
    one = engines[0].rows("SELECT event_id, session_id, principal_subject FROM events WHERE family = 'command' "
                          "ORDER BY log_partition, log_offset LIMIT 1 OFFSET 1000")[0]
    sample = dict(zip(("event", "session", "principal"), one))
    asked = questions(sample)
    if options.only:
        asked = {name: sql for name, sql in asked.items() if name in options.only.split(",")}
    print(f"{told['count']} events in {len(files)} files of {size / 1e9:.2f} GB in all; milliseconds, cold then warm "
          f"(median of {options.rounds}); ratio to the better of the two, below 1 is faster")
    print(f"{'question':<20} {'rows':>6}" + "".join(f" {engine.name + ' cold':>15} {'warm':>8}" for engine in engines) + f" {'cold ratio':>11} {'warm ratio':>11}")
    table = []
    for name, forms in asked.items():
        cold, warm, rows = [], [[] for _ in engines], []
        for engine, sql in zip(engines, forms):
            dropped = drop_caches()
            took, count = timed(engine, sql)
            cold.append(took if dropped else float("nan"))
            rows.append(count)
        for _ in range(options.rounds):
            for number, (engine, sql) in enumerate(zip(engines, forms)):
                warm[number].append(timed(engine, sql)[0])
        if len(set(rows)) != 1:
            sys.exit(f"{name}: the answers differ: {rows} rows")
        warm = [statistics.median(times) for times in warm]
        ratios = [times[0] / min(times[1:]) for times in (cold, warm)]
        table.append(dict(question=name, rows=rows[0], cold=cold, warm=warm, ratios=ratios))
        print(f"{name:<20} {rows[0]:>6}" + "".join(f" {c * 1000:>15.1f} {w * 1000:>8.1f}" for c, w in zip(cold, warm))
              + f" {ratios[0]:>11.2f} {ratios[1]:>11.2f}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
