// SPDX-License-Identifier: GPL-3.0-or-later
// The first release.
exports.up = async (knex) => {
  await knex.schema.createTable("users", (t) => {
    t.increments("id");
    t.string("name", 60).notNullable();
    t.string("email").unique();
    t.integer("invited_by").unsigned().references("id").inTable("users").onDelete("SET NULL");
    t.boolean("admin").notNullable().defaultTo(false);
    t.timestamps(true, true);
  });
  await knex.schema.createTable("posts", (t) => {
    t.uuid("id").primary();
    t.integer("user_id").unsigned().notNullable().references("users.id").onDelete("CASCADE").index();
    t.string("title", 120).notNullable().defaultTo("untitled");
    t.text("body");
    t.enu("status", ["draft", "public", "gone é"]).notNullable().defaultTo("draft");
    t.bigInteger("views").notNullable().defaultTo(0);
    t.float("score");
    t.double("ratio");
    t.decimal("price", 12, 3);
    t.json("meta");
    t.jsonb("labels");
    t.binary("image");
    t.date("day");
    t.time("clock");
    t.datetime("published_at");
    t.timestamp("created_at").notNullable().defaultTo(knex.fn.now());
    t.integer("order").notNullable().defaultTo(1);
    t.unique(["user_id", "title"]);
    t.index(["status", "published_at"], "posts_by_status");
  });
  await knex.schema.createTable("post_tags", (t) => {
    t.uuid("post_id").notNullable().references("posts.id").onDelete("CASCADE");
    t.string("tag", 30).notNullable();
    t.primary(["post_id", "tag"]);
  });
  await knex.schema.createTable("events", (t) => {
    t.bigIncrements("id");
    t.integer("user_id").references("users.id").onDelete("SET NULL");
    t.string("kind");
    t.timestamp("at").defaultTo(knex.fn.now());
  });
};

exports.down = async () => {
  throw new Error("not taken back");
};
