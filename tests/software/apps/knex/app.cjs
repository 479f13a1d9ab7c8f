// SPDX-License-Identifier: GPL-3.0-or-later
// A blog written with knex: `app.cjs create|fill|dump|work|later` on the database of DATABASE_URL; answers JSON.
"use strict";
const path = require("path");
const makeKnex = require("knex");

const url = process.env.DATABASE_URL;
const onSqlite = url.startsWith("sqlite:");
const knex = makeKnex(
  onSqlite
    ? {
        client: "better-sqlite3",
        connection: { filename: url.slice("sqlite://".length) },
        useNullAsDefault: true,
        pool: {
          min: 1,
          max: 1,
          afterCreate: (connection, done) => done(connection.pragma("foreign_keys = ON") && null, connection),
        },
      }
    : { client: "pg", connection: url, pool: { min: 0, max: 3 } },
);
const folder = (name) => path.join(__dirname, name);

const START = Date.UTC(2024, 1, 29, 23, 59, 59, 999);
const TEXTS = ["plain", "", "Ünïcödé ✓ 漢字 🦊", "tab\tnew\nline\\backslash \\N \\.", "'quotes' \"double\"", "e\u0301 ≠ é"];
const uuid = (n) => `6ba7b811-9dad-41d1-80b4-${n.toString(16).padStart(12, "0")}`;

async function create() {
  await knex.migrate.latest({ directory: folder("migrations") });
  return "created";
}

async function later() {
  await knex.migrate.latest({ directory: [folder("migrations"), folder("later")] });
  return "migrated";
}

async function fill() {
  await knex.transaction(async (trx) => {
    const users = [];
    for (let n = 0; n < 50; n++) {
      const at = START + n;
      const row = { name: `${TEXTS[n % 6]} ${n}`, email: n % 4 ? `u${n}@example.org` : null, admin: n % 7 === 0 };
      // What a program writes as a Date, and what the database fills in: two forms in one column of SQLite.
      if (n % 3) Object.assign(row, { created_at: new Date(at), updated_at: new Date(at) });
      const [made] = await trx("users").insert({ ...row, invited_by: n % 5 ? users[n >> 2] : null }).returning("id");
      users.push(made.id);
    }
    for (let n = 0; n < 300; n++) {
      await trx("posts").insert({
        id: uuid(n),
        user_id: users[n % 45],
        title: `${n} ${TEXTS[n % 6]}`,
        body: [null, TEXTS[n % 6].repeat(n % 5)][n % 2],
        status: ["draft", "public", "gone é"][n % 3],
        views: [n, 2 ** 53 - 1, -(2 ** 53) + 1, 0][n % 4],
        score: [null, 0.5, -1.25][n % 3],
        ratio: [null, 0.1, 1e308, -0.0, 5e-324, 1 / 3][n % 6],
        price: [null, 0.1, n / 8, 123456789.125][n % 4],
        meta: n % 4 ? JSON.stringify({ n, "é": TEXTS[n % 6], deep: [{ a: null, b: [true, 1.5] }] }) : null,
        labels: JSON.stringify([["a", "é"], {}, "text", 17, null][n % 5]),
        image: [null, Buffer.alloc(0), Buffer.from([...Array(256).keys()])][n % 3],
        day: [null, "0001-01-01", "9999-12-31", "2024-02-29"][n % 4],
        clock: [null, "00:00:00", "23:59:59", "08:30:00"][n % 4],
        published_at: n % 3 ? new Date(START + n * 3_600_001) : null,
        created_at: new Date(START + n),
        order: n,
      });
      for (let tag = 0; tag < n % 3; tag++) await trx("post_tags").insert({ post_id: uuid(n), tag: `tag ${tag} é` });
    }
    for (let n = 0; n < 120; n++) await trx("events").insert({ user_id: users[n % 40], kind: TEXTS[n % 6] });
    await trx("events").where("id", ">", 100).delete();
    await trx("users").where({ id: users[49] }).delete();
    await trx("settings").where({ key: "title" }).update({ value: "Ünïcödé" });
    await trx("settings").insert({ key: "theme", value: null });
  });
  return "filled";
}

// What the application itself has to know of its database: SQLite has no booleans, points in time, JSON or exact numbers.
const READ = {
  boolean: Boolean,
  instant: (v) => new Date(typeof v === "string" ? v.replace(" ", "T") + "Z" : v).toISOString(),
  json: (v) => sorted(onSqlite ? JSON.parse(v) : v),
  number: (v) => (Object.is(Number(v), -0) ? "-0" : Number(v)),
  day: (v) => (v instanceof Date ? localDay(v) : v),
  image: (v) => Buffer.from(v).toString("hex"),
};
const FIELDS = {
  users: { admin: "boolean", created_at: "instant", updated_at: "instant" },
  posts: {
    views: "number",
    score: "number",
    ratio: "number",
    price: "number",
    meta: "json",
    labels: "json",
    image: "image",
    day: "day",
    published_at: "instant",
    created_at: "instant",
  },
  post_tags: {},
  events: { id: "number", at: "instant" },
  settings: {},
};

// pg reads a date as midnight of the place the program runs at.
function localDay(v) {
  const pad = (number, size) => String(number).padStart(size, "0");
  return `${pad(v.getFullYear(), 4)}-${pad(v.getMonth() + 1, 2)}-${pad(v.getDate(), 2)}`;
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

function shown(table, row) {
  const read = (name, value) => (value === null ? null : (READ[FIELDS[table][name]] ?? ((v) => v))(value));
  return Object.fromEntries(Object.keys(row).sort().map((name) => [name, read(name, row[name])]));
}

async function dump() {
  const found = {};
  for (const table of Object.keys(FIELDS)) {
    const rows = await knex(table).select();
    found[table] = rows.map((row) => JSON.stringify(shown(table, row))).sort();
  }
  return found;
}

async function refused(what) {
  try {
    await what();
  } catch (error) {
    return /constraint|violates|FOREIGN/.test(error.message) ? "refused" : error.message;
  }
  return "accepted";
}

async function work() {
  const said = [];
  const count = async (query) => Number((await query.count({ n: "*" }))[0].n);
  const last = async (table) => Number((await knex(table).max({ n: "id" }))[0].n);
  const before = { users: await last("users"), events: await last("events"), settings: await last("settings") };
  const [user] = await knex("users").insert({ name: "New 🦊" }).returning("*");
  const [event] = await knex("events").insert({ user_id: user.id, kind: "new" }).returning("*");
  const [setting] = await knex("settings").insert({ key: "new", value: "é" }).returning("*");
  const made = { users: user, events: event, settings: setting };
  said.push(["keys continue", Object.keys(made).filter((table) => Number(made[table].id) <= before[table])]);
  said.push(["defaults", Boolean(user.admin), user.email]);
  const age = (value) => Math.abs(new Date(READ.instant(value)) - Date.now()) < 300_000;
  said.push(["defaults of the database", age(user.created_at), age(user.updated_at), age(event.at)]);
  const labels = JSON.stringify([1, "é"]);
  const row = { id: uuid(9999), user_id: user.id, labels, image: Buffer.from([0, 255]), published_at: new Date(START) };
  const [post] = await knex("posts").insert(row).returning("*");
  delete post.created_at;
  said.push(["read back", shown("posts", { ...post, user_id: null })]);
  await knex.batchInsert("post_tags", [...Array(40).keys()].map((n) => ({ post_id: uuid(9999), tag: `t${n}` })), 10);
  said.push(["bulk", await count(knex("post_tags").where({ post_id: uuid(9999) }))]);

  // Queries that need the right types.
  said.push(["by flag", await count(knex("users").where({ admin: true }))]);
  said.push(["by time", await count(knex("posts").where("published_at", ">", new Date(START + 360_000_000)))]);
  said.push(["by day", await count(knex("posts").where("day", "<", "2024-03-01"))]);
  said.push(["by status", await count(knex("posts").where({ status: "gone é" }))]);
  said.push(["by price", await count(knex("posts").where("price", ">", 20.5))]);
  said.push(["by id", (await knex("posts").where({ id: uuid(7) }).first()).title]);
  const joined = knex("posts").join("users", "users.id", "posts.user_id").whereNotNull("users.email");
  said.push(["joined", await count(joined)]);
  const grouped = await knex("posts").select("status").count({ n: "*" }).groupBy("status");
  said.push(["grouped", grouped.map((group) => `${group.status} ${group.n}`).sort()]);

  // Updates and deletes, with what hangs on them.
  said.push(["update", await knex("posts").where({ status: "draft" }).update({ price: 1.5, created_at: new Date(START) })]);
  said.push(["increment", await knex("posts").where("order", "<", 9).increment("views", 1)]);
  await knex("settings").insert({ key: "language", value: "fi" }).onConflict("key").merge();
  said.push(["upsert", (await knex("settings").where({ key: "language" })).map((found) => found.value)]);
  const doomed = await knex("users").where({ email: "u6@example.org" }).first();
  said.push(["delete", await knex("users").where({ id: doomed.id }).delete()]);
  said.push(["cascade", await count(knex("posts")), await count(knex("post_tags"))]);
  said.push(["set null", await count(knex("users").whereNull("invited_by")), await count(knex("events").whereNull("user_id"))]);

  // What must be refused still is.
  const first = await knex("posts").orderBy("id").first();
  const post2 = { id: uuid(10000), user_id: first.user_id };
  said.push(["unique", await refused(() => knex("users").insert({ name: "x", email: "u1@example.org" }))]);
  said.push(["unique pair", await refused(() => knex("posts").insert({ ...post2, title: first.title }))]);
  said.push(["key", await refused(() => knex("post_tags").insert({ post_id: uuid(9999), tag: "t1" }))]);
  said.push(["not null", await refused(() => knex("users").update({ name: null }))]);
  said.push(["status", await refused(() => knex("posts").insert({ ...post2, status: "nonsense" }))]);
  said.push(["foreign key", await refused(() => knex("posts").insert({ ...post2, user_id: 99999 }))]);
  return said;
}

({ create, fill, dump, work, later })
  [process.argv[2]]()
  .then((answer) => console.log(JSON.stringify(answer)))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => knex.destroy());
