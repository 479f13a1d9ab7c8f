// SPDX-License-Identifier: GPL-3.0-or-later
// A club written with TypeORM: `app.cjs create|fill|dump|work|later` on the database of DATABASE_URL; answers JSON.
"use strict";
require("reflect-metadata");
const { DataSource, IsNull, LessThan, Like, MoreThan, Not } = require("typeorm");
const { entities } = require("./entities.cjs");

const url = process.env.DATABASE_URL;
const onSqlite = url.startsWith("sqlite:");
const command = process.argv[2];
const database = new DataSource({
  ...(onSqlite ? { type: "better-sqlite3", database: url.slice("sqlite://".length) } : { type: "postgres", url }),
  entities: entities(onSqlite, command === "later" ? 2 : 1),
});

const START = Date.UTC(2024, 1, 29, 23, 59, 59, 999);
const TEXTS = ["plain", "", "Ünïcödé ✓ 漢字 🦊", "tab\tnew\nline\\backslash \\N \\.", "'quotes' \"double\"", "e\u0301 ≠ é"];
const uuid = (n) => `6ba7b811-9dad-41d1-80b4-${n.toString(16).padStart(12, "0")}`;

async function create() {
  await database.synchronize();
  return "created";
}

// The next release: TypeORM compares its entities with what is there and changes the tables.
async function later() {
  // Where a column's type is not the one TypeORM expects, it drops the column and adds it anew, without its values.
  const columns = '"id", "name", "email", "level", "active", "joined", "born", "settings", "photo"';
  const rows = async () => JSON.stringify(await database.query(`SELECT ${columns} FROM "member" ORDER BY "id"`));
  const before = await rows();
  await database.synchronize();
  if ((await rows()) !== before) throw new Error("synchronize() lost values");
  const left = await database.driver.createSchemaBuilder().log();
  if (left.upQueries.length) throw new Error(JSON.stringify(left.upQueries));
  return "synchronized";
}

async function fill() {
  await database.transaction(async (manager) => {
    const groups = [];
    for (let n = 0; n < 15; n++) {
      const parentId = n > 4 ? uuid(n % 5) : null;
      groups.push(await manager.save("Group", { id: n < 5 ? uuid(n) : undefined, title: `${TEXTS[n % 6]} ${n}`, parentId }));
    }
    const members = [];
    for (let n = 0; n < 150; n++) {
      const member = await manager.save("Member", {
        name: `${TEXTS[n % 6]} ${n}`,
        email: n % 4 ? `m${n}@example.org` : null,
        level: ["guest", "full", "gone é"][n % 3],
        active: n % 5 > 0,
        born: [null, "0001-01-01", "9999-12-31", "2024-02-29"][n % 4],
        wakes: [null, "00:00:00", "23:59:59", "08:30:00"][n % 4],
        settings: [null, { n, é: [null, true, 1.5] }, [], "text"][n % 4],
        labels: [null, ["a", "é"], ["one"]][n % 3],
        photo: [null, Buffer.alloc(0), Buffer.from([...Array(256).keys()])][n % 3],
        sponsor: n % 4 ? members[n >> 2] : null,
        groups: groups.slice(n % 9, (n % 9) + (n % 4)),
        ...(n % 3 ? { joined: new Date(START + n) } : {}),
      });
      members.push(member);
      for (let k = 0; k < n % 4; k++) {
        await manager.save("Payment", {
          member,
          amount: [0.01, 12345678.9, 3, 1.1][(n + k) % 4],
          rate: [null, 0.1, 1e308, -0.0, 5e-324, 1 / 3][n % 6],
          cents: ["9007199254740991", "-9007199254740991", "0", String(n)][n % 4],
          paidAt: new Date(START + n * 3_600_001 + k),
          note: TEXTS[n % 6],
        });
      }
    }
    await manager.update("Member", { name: Like("plain 1%") }, { active: false });
    await manager.softRemove("Member", members[7]);
    await manager.delete("Member", { id: members[149].id });
    await manager.delete("Payment", { member: { id: members[147].id } });
  });
  return "filled";
}

const plain = (name, value) => {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer) return Buffer.from(value).toString("hex");
  // TypeORM gives exact numbers as text on PostgreSQL and as numbers on SQLite.
  if (name === "amount") return Number(value).toFixed(2);
  if (name === "cents") return String(value);
  if (Object.is(value, -0)) return "-0";
  return value;
};

async function dump() {
  const found = {};
  for (const { name, relations } of database.entityMetadatas) {
    if (name.includes("_")) continue;
    const wanted = Object.fromEntries(relations.map((relation) => [relation.propertyName, true]));
    const rows = await database.getRepository(name).find({ relations: wanted, withDeleted: true });
    found[name] = rows
      .map((row) => {
        if (row.groups) row.groups = row.groups.map((group) => group.id).sort();
        for (const key of ["sponsor", "member"]) if (row[key]) row[key] = row[key].id;
        return JSON.stringify(row, (key, value) => plain(key, value?.type === "Buffer" ? Buffer.from(value) : value));
      })
      .sort();
  }
  return found;
}

async function refused(what) {
  try {
    await what();
  } catch (error) {
    return /constraint|violates|enum/.test(error.message) ? "refused" : error.message;
  }
  return "accepted";
}

async function work() {
  const said = [];
  const [members, groups, payments] = ["Member", "Group", "Payment"].map((name) => database.getRepository(name));
  const last = { member: await members.maximum("id"), payment: await payments.maximum("id") };
  const group = await groups.save({ title: "New 🦊" });
  const member = await members.save({ name: "New", groups: [group], photo: Buffer.from([0, 255]), settings: { a: ["é"] } });
  const payment = await payments.save({ member, amount: 1.1, paidAt: new Date(START) });
  said.push(["keys continue", member.id > last.member, payment.id > last.payment, group.id.length]);
  const read = await members.findOne({ where: { id: member.id }, relations: { groups: true } });
  const age = (date) => Math.abs(date - Date.now()) < 300_000;
  said.push(["defaults", read.level, read.active, read.version, read.email, age(read.joined), age(read.changed)]);
  said.push(["read back", plain("photo", read.photo), read.settings, read.groups.map((found) => found.title)]);
  const bulk = await members.insert([...Array(9).keys()].map((n) => ({ name: `bulk ${n}` })));
  said.push(["bulk", bulk.identifiers.length]);

  // Queries that need the right types.
  said.push(["by flag", await members.countBy({ active: true })]);
  said.push(["by level", await members.countBy({ level: "gone é" })]);
  said.push(["by time", await payments.countBy({ paidAt: MoreThan(new Date(START + 180_000_000)) })]);
  said.push(["by day", await members.countBy({ born: LessThan("2024-03-01") })]);
  said.push(["by amount", await payments.countBy({ amount: MoreThan(2) })]);
  said.push(["by id", (await groups.findOneBy({ id: uuid(3) })).title]);
  said.push(["deleted softly", await members.countBy({ left: IsNull() }), await members.count({ withDeleted: true })]);
  said.push(["joined", await members.count({ where: { groups: { parentId: Not(IsNull()) } }, relations: { groups: true } })]);

  // Updates and deletes, with what hangs on them.
  const changed = await members.findOneBy({ email: "m9@example.org" });
  changed.name = "changed";
  said.push(["update", (await members.save(changed)).version]);
  await members.increment({ level: "guest" }, "version", 1);
  const upsert = [{ title: "New 🦊", parentId: uuid(1) }];
  await groups.upsert(upsert, ["title"]);
  said.push(["upsert", (await groups.findOneBy({ title: "New 🦊" })).parentId]);
  const doomed = await members.findOneBy({ email: "m6@example.org" });
  await members.delete(doomed.id);
  said.push(["cascade", await payments.count(), await members.countBy({ sponsor: IsNull() })]);
  await members.restore((await members.findOne({ where: { left: Not(IsNull()) }, withDeleted: true })).id);
  said.push(["restored", await members.count()]);

  // What must be refused still is.
  const [first] = await payments.find({ relations: { member: true }, order: { id: "ASC" }, take: 1 });
  const twin = { member: first.member, paidAt: first.paidAt, amount: 1 };
  said.push(["unique", await refused(() => members.insert({ name: "x", email: "m1@example.org" }))]);
  said.push(["unique pair", await refused(() => payments.insert(twin))]);
  said.push(["check", await refused(() => payments.insert({ ...twin, amount: -1, paidAt: new Date() }))]);
  said.push(["level", await refused(() => members.insert({ name: "x", level: "nonsense" }))]);
  said.push(["not null", await refused(() => members.update({ active: true }, { name: null }))]);
  said.push(["foreign key", await refused(() => payments.insert({ ...twin, member: { id: 99999 } }))]);
  return said;
}

database
  .initialize()
  .then(() => ({ create, fill, dump, work, later })[command]())
  .then((answer) => console.log(JSON.stringify(answer)))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => database.isInitialized && database.destroy());
