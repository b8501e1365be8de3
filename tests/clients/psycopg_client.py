"""psycopg 3, unchanged: prints what it saw, one JSON line per step. Arguments: HOST PORT DATABASE USER."""
import datetime
import decimal
import json
import sys
import threading
import time
import uuid

import psycopg

host, port, database, user = sys.argv[1:5]


def show(step, value):
    print(json.dumps([step, value], default=str), flush=True)


with psycopg.connect(host=host, port=port, dbname=database, user=user, password="ignored", autocommit=True) as c:
    show("one", c.execute("SELECT 1").fetchone())
    show("parameters", c.execute("SELECT %s::int, %s::text, %s::numeric, %s::uuid", (7, "naïve ✓", decimal.Decimal("1.50"), uuid.UUID(int=5))).fetchone())
    show("types", c.execute("SELECT true, NULL, '{1,2}'::int[], '\\x00ff'::bytea, date '2024-02-29', '{\"a\": 1}'::jsonb, interval '1 day'").fetchone())
    with c.cursor(binary=True) as binary:
        show("binary", binary.execute("SELECT 42::int8, 1.5::float8, 'x'::text, timestamptz '2024-01-01 00:00:00+00'").fetchone())
    for number in range(8):  # the sixth execution is a server-side prepared statement
        show("prepared", c.execute("SELECT %s::int * 2", (number,), prepare=True).fetchone())
    c.execute("CREATE TEMP TABLE t (id int PRIMARY KEY, v text)")
    with c.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(i, f"v{i}") for i in range(100)])
        show("executemany", cursor.rowcount)
    with c.cursor().copy("COPY t FROM STDIN") as copy:
        for i in range(1000, 3000):
            copy.write_row((i, "copied\t\\" + str(i)))
    show("count", c.execute("SELECT count(*), sum(id), max(v) FROM t").fetchone())
    with c.cursor().copy("COPY (SELECT * FROM t WHERE id >= 2998 ORDER BY id) TO STDOUT") as copy:
        show("copy out", [bytes(block).decode() for block in copy])
    with c.pipeline():
        first = c.execute("SELECT 'first'")
        c.execute("INSERT INTO t VALUES (5000, 'pipelined')")
        last = c.execute("SELECT v FROM t WHERE id = 5000")
    show("pipeline", [first.fetchone(), last.fetchone()])
    try:
        with c.pipeline():
            c.execute("INSERT INTO t VALUES (6000, 'rolled back')")
            c.execute("SELECT 1 / 0")
            c.execute("SELECT 'never'")
    except psycopg.Error as error:
        show("pipeline error", [error.sqlstate, str(error)])
    show("pipeline rolled back", c.execute("SELECT count(*) FROM t WHERE id = 6000").fetchone())
    try:
        c.execute("INSERT INTO t VALUES (1, 'again')")
    except psycopg.errors.UniqueViolation as error:
        show("unique", [error.sqlstate, error.diag.message_detail, error.diag.constraint_name])
    with c.transaction():
        c.execute("DELETE FROM t WHERE id < 50")
        with c.cursor(name="portal") as named:
            named.execute("SELECT id FROM t ORDER BY id")
            show("named cursor", [named.fetchmany(3), named.fetchmany(2)])
    try:
        with c.transaction():
            c.execute("DELETE FROM t")
            raise RuntimeError("roll back")
    except RuntimeError:
        show("rolled back", c.execute("SELECT count(*) FROM t").fetchone())
    notices = []
    c.add_notice_handler(lambda notice: notices.append([notice.severity, notice.message_primary]))
    c.execute("DO $$ BEGIN RAISE NOTICE 'hello %', 5; RAISE WARNING 'careful'; END $$")
    show("notices", notices)
    c.execute("LISTEN channel")
    c.execute("NOTIFY channel, 'payload'")
    show("notify", [n.payload for n in c.notifies(timeout=5, stop_after=1)])
    show("large value", c.execute("SELECT length(repeat('x', 1000000)), md5(repeat('x', 1000000))").fetchone())
    show("large parameter", c.execute("SELECT length(%s), md5(%s)", ("y" * 1000000, "y" * 1000000)).fetchone())
    rows = c.execute("SELECT g, 'row ' || g FROM generate_series(1, 20000) g").fetchall()
    show("many rows", [len(rows), rows[0], rows[-1]])
    for row in c.cursor().stream("SELECT g FROM generate_series(1, 5) g"):
        show("stream", row)
    timer = threading.Timer(0.5, c.cancel_safe)
    timer.start()
    began = time.monotonic()
    try:
        c.execute("SELECT pg_sleep(60)")
    except psycopg.errors.QueryCanceled as error:
        show("cancel", [error.sqlstate, time.monotonic() - began < 20])
    timer.join()
    show("after cancel", c.execute("SELECT 'alive'").fetchone())
    show("status", [c.info.transaction_status.name, c.info.parameter_status("client_encoding"), c.info.parameter_status("server_version")])
    show("application", c.execute("SET application_name = 'renamed'; SHOW application_name").nextset())
    show("today is a date", isinstance(c.execute("SELECT current_date").fetchone()[0], datetime.date))
