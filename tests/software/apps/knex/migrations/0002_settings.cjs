// SPDX-License-Identifier: GPL-3.0-or-later
// A table with rows that every installation has, as many applications keep their settings.
exports.up = async (knex) => {
  await knex.schema.createTable("settings", (t) => {
    t.increments("id");
    t.string("key").notNullable().unique();
    t.text("value");
  });
  await knex("settings").insert([
    { key: "title", value: "My site" },
    { key: "language", value: "en" },
  ]);
};

exports.down = async () => {
  throw new Error("not taken back");
};
