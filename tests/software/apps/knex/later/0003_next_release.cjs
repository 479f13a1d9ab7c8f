// SPDX-License-Identifier: GPL-3.0-or-later
// A release after the move: it changes and drops things by the names that earlier migrations gave them.
exports.up = async (knex) => {
  await knex.schema.alterTable("posts", (t) => {
    t.integer("editor_id").references("users.id");
    t.dropUnique(["user_id", "title"]);
    t.dropIndex(["status", "published_at"], "posts_by_status");
    t.dropIndex(["user_id"]);
    t.dropForeign(["user_id"]);
    t.string("title", 200).notNullable().defaultTo("none").alter();
    t.renameColumn("order", "position");
    t.dropColumn("score");
  });
  await knex.schema.alterTable("users", (t) => {
    t.dropUnique(["email"]);
    t.dropForeign(["invited_by"]);
  });
  await knex.schema.alterTable("post_tags", (t) => {
    t.dropPrimary();
    t.primary(["post_id", "tag"]);
  });
  await knex.schema.renameTable("events", "log");
};

exports.down = async () => {
  throw new Error("not taken back");
};
