-- What is hard to take apart: quotes of all kinds, bodies with semicolons, rows with backslashes, large objects.
CREATE SCHEMA "odd ""schema""";
CREATE TYPE mood AS ENUM ('so;so', 'it''s');
CREATE TABLE "odd ""schema""".t (id serial PRIMARY KEY, a text DEFAULT E'x\\;\n''y', b bytea, m mood, n numeric CHECK (n > 0));
INSERT INTO "odd ""schema""".t (a, b, m, n) VALUES (E'tab\t newline\n \\. \\! ; '' $$', '\x00ff', 'it''s', 1.5), (NULL, '', NULL, 2),
 (E'\\.', NULL, 'so;so', 3), (repeat('long é ', 50000), NULL, NULL, 4);
CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS $body$ BEGIN /* ; */ RETURN a + length('$$;'); -- \!
END; $body$;
CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 ELSE 3 END; END;
CREATE VIEW v AS SELECT a, 'x;\' AS b FROM "odd ""schema""".t;
COMMENT ON VIEW v IS E'says \\! and ''quotes''; -- no';
CREATE RULE r AS ON INSERT TO v DO INSTEAD (SELECT 1; SELECT 2);
CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM "odd ""schema""".t;
SELECT lo_from_bytea(4711, '\x414243');
CREATE TABLE parts (k int) PARTITION BY RANGE (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
INSERT INTO parts VALUES (3);
