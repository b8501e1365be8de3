"""asyncpg, unchanged: prints what it saw, one JSON line per step. Arguments: HOST PORT DATABASE USER."""
import asyncio
import json
import sys

import asyncpg

host, port, database, user = sys.argv[1:5]


def show(step, value):
    print(json.dumps([step, value], default=str), flush=True)


async def main():
    c = await asyncpg.connect(host=host, port=int(port), database=database, user=user, password="ignored")
    show("one", await c.fetchval("SELECT 1"))
    show("parameters", list(await c.fetchrow("SELECT $1::int, $2::text, $3::float8, $4::timestamptz", 7, "naïve ✓", 1.5, None)))
    show("types", list(await c.fetchrow("SELECT true, NULL, ARRAY[1,2], '\\x00ff'::bytea, date '2024-02-29', '{\"a\": 1}'::jsonb, 1.50::numeric")))
    await c.execute("CREATE TYPE pg_temp.mood AS ENUM ('sad', 'ok'); CREATE TEMP TABLE t (id int PRIMARY KEY, v text, m pg_temp.mood)")
    await c.executemany("INSERT INTO t (id, v) VALUES ($1, $2)", [(i, f"v{i}") for i in range(100)])
    await c.copy_records_to_table("t", records=[(i, f"copied {i}") for i in range(1000, 3000)], columns=["id", "v"])
    show("count", list(await c.fetchrow("SELECT count(*), sum(id), max(v) FROM t")))
    await c.execute("UPDATE t SET m = 'ok' WHERE id = 1")
    show("enum", await c.fetchval("SELECT m FROM t WHERE id = 1"))  # introspects the type through the catalog
    statement = await c.prepare("SELECT v FROM t WHERE id = $1")
    show("prepared", [await statement.fetchval(i) for i in range(3)])
    show("attributes", [a.name for a in statement.get_attributes()])
    async with c.transaction():
        cursor = await c.cursor("SELECT id FROM t ORDER BY id")
        show("cursor", [[r[0] for r in await cursor.fetch(3)], [r[0] for r in await cursor.fetch(2)]])
    try:
        async with c.transaction():
            await c.execute("DELETE FROM t")
            await c.execute("SELECT 1/0")
    except asyncpg.DivisionByZeroError as error:
        show("error", [error.sqlstate, str(error)])
    show("rolled back", await c.fetchval("SELECT count(*) FROM t"))
    rows = await c.fetch("SELECT g, 'row ' || g FROM generate_series(1, 20000) g")
    show("many rows", [len(rows), list(rows[0]), list(rows[-1])])
    show("large", len(await c.fetchval("SELECT repeat('x', 1000000)")))
    got = asyncio.Event()
    await c.add_listener("channel", lambda *a: (show("notify", a[3]), got.set()))
    await c.execute("NOTIFY channel, 'payload'")
    await asyncio.wait_for(got.wait(), 10)
    try:
        await c.fetch("SELECT pg_sleep(60)", timeout=0.5)  # asyncpg cancels the statement on the server
    except asyncio.TimeoutError:
        show("timeout", True)
    show("after timeout", await c.fetchval("SELECT 'alive'"))
    await c.close()
    pool = await asyncpg.create_pool(host=host, port=int(port), database=database, user=user, password="ignored", min_size=3, max_size=3)
    show("pool", sorted(await asyncio.gather(*(pool.fetchval("SELECT $1::int", i) for i in range(30)))))
    await pool.close()


asyncio.run(main())
