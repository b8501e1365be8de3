// node `pg`, unchanged: prints what it saw, one JSON line per step. Arguments: HOST PORT DATABASE USER.
const { Client, Pool } = require('pg');

const [host, port, database, user] = process.argv.slice(2);
const options = { host, port: Number(port), database, user, password: 'ignored' };
const show = (step, value) => console.log(JSON.stringify([step, value]));

async function main() {
  const c = new Client(options);
  const notices = [];
  c.on('notice', (notice) => notices.push([notice.severity, notice.message]));
  await c.connect();
  show('one', (await c.query('SELECT 1 AS one')).rows);
  show('parameters', (await c.query('SELECT $1::int AS a, $2::text AS b, $3::jsonb AS c', [7, 'naïve ✓', { a: [1] }])).rows);
  show('types', (await c.query("SELECT true AS t, NULL AS n, ARRAY[1,2] AS a, '\\x00ff'::bytea AS b, 1.50::numeric AS d")).rows);
  for (let i = 0; i < 3; i++) show('prepared', (await c.query({ name: 'double', text: 'SELECT $1::int * 2 AS v', values: [i] })).rows);
  await c.query('CREATE TEMP TABLE t (id int PRIMARY KEY, v text)');
  await c.query('BEGIN');
  for (let i = 0; i < 50; i++) await c.query('INSERT INTO t VALUES ($1, $2)', [i, `v${i}`]);
  await c.query('COMMIT');
  show('several statements', (await c.query('SELECT count(*) FROM t; SELECT max(id) FROM t')).map((r) => r.rows));
  const error = await c.query('INSERT INTO t VALUES (1, $1)', ['again']).catch((e) => e);
  show('unique', [error.code, error.detail, error.constraint]);
  show('array mode', (await c.query({ text: 'SELECT id, v FROM t ORDER BY id LIMIT 2', rowMode: 'array' })).rows);
  const many = (await c.query("SELECT g, 'row ' || g AS v FROM generate_series(1, 20000) g")).rows;
  show('many rows', [many.length, many[0], many[many.length - 1]]);
  show('large', (await c.query("SELECT repeat('x', 1000000) AS v")).rows[0].v.length);
  await c.query("DO $$ BEGIN RAISE NOTICE 'hello'; END $$");
  show('notices', notices);
  const heard = new Promise((resolve) => c.on('notification', (n) => resolve([n.channel, n.payload])));
  await c.query('LISTEN channel');
  await c.query("NOTIFY channel, 'payload'");
  show('notify', await heard);
  await c.end();

  const pool = new Pool({ ...options, max: 3 });
  const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => pool.query('SELECT $1::int AS v', [i])));
  show('pool', answers.map((r) => r.rows[0].v));
  await pool.end();
}

main().catch((error) => { console.error(error); process.exit(1); });
