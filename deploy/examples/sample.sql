-- The sample database of `tallyport demo` and `tallyport dev`: a small shop. All people and numbers are made up:
-- social security numbers are in the range that is never issued, card numbers are the networks' public test numbers.
CREATE SCHEMA app;
CREATE SCHEMA hr;

CREATE TABLE app.customers (
  id         int PRIMARY KEY,
  name       text NOT NULL,
  email      text NOT NULL UNIQUE,
  ssn        text NOT NULL UNIQUE,
  card       text NOT NULL,
  country    text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO app.customers (id, name, email, ssn, card, country) VALUES
  (1, 'Ada Example',     'ada@example.com',   '900-11-1001', '4111111111111111', 'NO'),
  (2, 'Bob Sample',      'bob@example.com',   '900-22-2002', '5555555555554444', 'DE'),
  (3, 'Cy Placeholder',  'cy@example.com',    '900-33-3003', '378282246310005',  'FR'),
  (4, 'Di Fixture',      'di@example.com',    '900-44-4004', '6011111111111117', 'DE'),
  (5, 'Ed Canary',       'ed@example.com',    '900-55-5005', '30569309025904',   'JP');

CREATE TABLE app.orders (
  id          int PRIMARY KEY,
  customer_id int NOT NULL REFERENCES app.customers (id),
  item        text NOT NULL,
  total       numeric(10, 2) NOT NULL,
  status      text NOT NULL DEFAULT 'open',
  created_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO app.orders (id, customer_id, item, total, status, created_at)
SELECT g, 1 + g % 5, (ARRAY['lamp', 'desk', 'chair', 'shelf'])[1 + g % 4], (g * 7.5)::numeric(10, 2),
       (ARRAY['open', 'paid', 'shipped'])[1 + g % 3], now() - g * interval '3 hours'
FROM generate_series(1, 40) g;

CREATE TABLE hr.staff (id int PRIMARY KEY, name text NOT NULL, salary int NOT NULL);
INSERT INTO hr.staff VALUES (1, 'Zed Payroll', 123456), (2, 'Yve Ledger', 98765);
